// Package engine turns images into faces, faces into templates, and templates
// into scores.
//
// # Use
//
// An Engine is made from networks that run elsewhere (engine/tflite opens those
// of a pack):
//
//	faces, err := e.Detect(ctx, img)            // dominant face first
//	face, ambiguous, ok := engine.Dominant(faces)
//	template, err := e.Embed(ctx, img, face)
//	score := engine.Compare(template, enrolled) // cosine
//
// Images cross as image.Image; camera frames stay *image.YCbCr up to the input
// tensor, other types are converted once. A Gallery finds the best of many
// templates by an exact scan.
//
// # What it does not do
//
// It opens no file, uses no network and knows no time. It does not say what a
// score means: that is the calibration of a pack (models.Calibration). It keeps
// nothing between calls, and everything in it may be used concurrently.
package engine

import (
	"context"
	"errors"
	"fmt"
)

// ErrNetwork says that what runs a network failed, as an accelerator that is gone.
var ErrNetwork = errors.New("the network failed")

// Model is one network with one float32 input, safe for concurrent use.
type Model interface {
	// Input is the shape of the input tensor: 1, height, width, channels.
	Input() []int

	// Outputs are the shapes of the output tensors.
	Outputs() [][]int

	// Run lends the input tensor to fill, invokes the network, and lends the
	// outputs to read. Neither may keep what it was lent. It waits for a free
	// interpreter until ctx ends.
	Run(ctx context.Context, fill func(in []float32), read func(out [][]float32)) error
}

// Prep is how a network wants its pixels: a value v of 0..255 becomes
// v*Scale + Bias, in the order RGB or BGR.
type Prep struct {
	BGR         bool
	Scale, Bias float32
}

// Network is a Model and the preparation of its input.
type Network struct {
	Model
	Prep Prep
}

// Config is what an Engine is made of.
type Config struct {
	FullRange  Network // BlazeFace full range: faces in a frame
	ShortRange Network // BlazeFace short range: close-ups; optional
	Landmarks  Network // five points on an upright face; optional, BlazeFace's keypoints serve without
	Embedder   Network // aligned face → template
	Patches    []Patch // networks against presentation attacks; optional

	// Template is where the embedder wants the eyes, the nose tip and the
	// corners of the mouth (image left to right), as fractions of its input.
	Template [5]Point

	// Space names the set of templates that may be compared.
	Space string

	// MinScore is the least detection score, 0.5 when 0.
	MinScore float64

	// SecondLook says which faces are embedded twice for a better template;
	// the zero value: those in bad light.
	SecondLook SecondLook
}

// Engine runs the chain of networks. It is safe for concurrent use.
type Engine struct {
	cfg         Config
	full, short *detector
	size        int // side of the embedder's input
	dim         int // length of a template
}

// New checks that the networks fit together and returns an Engine.
func New(cfg Config) (*Engine, error) {
	if cfg.MinScore == 0 {
		cfg.MinScore = 0.5
	}
	e := &Engine{cfg: cfg}
	var err error
	if e.full, err = newDetector(cfg.FullRange, cfg.MinScore); err != nil {
		return nil, fmt.Errorf("full-range detector: %w", err)
	}
	if cfg.ShortRange.Model != nil {
		if e.short, err = newDetector(cfg.ShortRange, cfg.MinScore); err != nil {
			return nil, fmt.Errorf("short-range detector: %w", err)
		}
	}
	if m := cfg.Landmarks.Model; m != nil {
		if _, err := square(m); err != nil {
			return nil, fmt.Errorf("landmarks: %w", err)
		}
		if outs := m.Outputs(); len(outs) != 1 || volume(outs[0]) != 10 {
			return nil, fmt.Errorf("landmarks: outputs %v, want five points", outs)
		}
	}
	for _, p := range cfg.Patches {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("network against presentation attacks: %w", err)
		}
	}
	if cfg.Embedder.Model == nil {
		return nil, errors.New("embedder: none given")
	}
	if e.size, err = square(cfg.Embedder); err != nil {
		return nil, fmt.Errorf("embedder: %w", err)
	}
	outs := cfg.Embedder.Outputs()
	if len(outs) != 1 {
		return nil, fmt.Errorf("embedder: %d outputs, want 1", len(outs))
	}
	if e.dim = volume(outs[0]); e.dim < 2 || e.dim > 4096 {
		return nil, fmt.Errorf("embedder: template of length %d", e.dim)
	}
	return e, nil
}

// Space names the set of templates that may be compared with this engine's.
func (e *Engine) Space() string { return e.cfg.Space }

// Dim is the length of this engine's templates.
func (e *Engine) Dim() int { return e.dim }

// square returns the side of a network's input, which must be 1×side×side×3.
func square(m Model) (int, error) {
	in := m.Input()
	if len(in) != 4 || in[0] != 1 || in[1] != in[2] || in[1] < 8 || in[1] > 4096 || in[3] != 3 {
		return 0, fmt.Errorf("input %v, want 1×side×side×3", in)
	}
	return in[1], nil
}

func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
