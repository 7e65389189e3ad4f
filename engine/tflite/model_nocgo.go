//go:build !cgo

package tflite

import (
	"context"
	"os"

	"github.com/cypherface/edge/engine"
)

// Model is a network; without cgo there is none.
type Model struct{}

var _ engine.Model = (*Model)(nil)

// Load fails with ErrNoRuntime.
func Load(*os.File, Options) (*Model, error) { return nil, ErrNoRuntime }

// Input is nil.
func (*Model) Input() []int { return nil }

// Outputs is nil.
func (*Model) Outputs() [][]int { return nil }

// Run fails with ErrNoRuntime.
func (*Model) Run(context.Context, func([]float32), func([][]float32)) error { return ErrNoRuntime }

// Close does nothing.
func (*Model) Close() error { return nil }
