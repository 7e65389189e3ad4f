package tflite

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/models"
)

// errGolden: the networks run, and say something else than they should.
var errGolden = errors.New("the golden answers differ")

// SelfTest runs the golden faces through the whole chain of an engine and
// compares the template and the two cosines with the pack's manifest. A box
// calls it at start: it finds what no hash can, a library or a processor that
// computes something else.
func SelfTest(ctx context.Context, e *engine.Engine, p *models.Pack) error {
	got, err := goldenAnswer(ctx, e)
	if err != nil {
		return fmt.Errorf("self-test of pack %s: %w", p.Name, err)
	}
	return sameGolden(p, got)
}

// sameGolden compares what the chain says with what the manifest records.
func sameGolden(p *models.Pack, got models.Golden) error {
	want := p.Golden
	if d := math.Abs(got.Mates - want.Mates); !(d <= want.Tolerance) {
		return fmt.Errorf("self-test of pack %s: %w: two images of one person have cosine %.4f, want %.4f", p.Name, errGolden, got.Mates, want.Mates)
	}
	if d := math.Abs(got.Strangers - want.Strangers); !(d <= want.Tolerance) {
		return fmt.Errorf("self-test of pack %s: %w: two people have cosine %.4f, want %.4f", p.Name, errGolden, got.Strangers, want.Strangers)
	}
	v := want.Vector()
	if len(v) == 0 {
		return nil
	}
	if c := engine.Compare(got.Vector(), v); !(c >= 1-want.Tolerance) {
		return fmt.Errorf("self-test of pack %s: %w: the template has cosine %.4f to the one recorded", p.Name, errGolden, c)
	}
	return nil
}

// goldenAnswer runs the golden faces through the chain.
func goldenAnswer(ctx context.Context, e *engine.Engine) (models.Golden, error) {
	mates, stranger, err := models.GoldenImages()
	if err != nil {
		return models.Golden{}, err
	}
	var templates [3]engine.Template
	for i, img := range []image.Image{mates[0], mates[1], stranger} {
		faces, err := e.Detect(ctx, img)
		if err != nil {
			return models.Golden{}, err
		}
		if len(faces) != 1 {
			return models.Golden{}, fmt.Errorf("%w: %d faces found in golden image %d, which has one", errGolden, len(faces), i+1)
		}
		if templates[i], err = e.Embed(ctx, img, faces[0]); err != nil {
			return models.Golden{}, err
		}
	}
	g := models.Golden{
		Mates:     engine.Compare(templates[0], templates[1]),
		Strangers: engine.Compare(templates[0], templates[2]),
	}
	g.SetVector(templates[0])
	return g, nil
}

// Answers loads a pack and records what it says on the golden inputs, for its
// manifest.
func Answers(ctx context.Context, p *models.Pack) (models.Answers, error) {
	return answers(ctx, p, func(string) {})
}

// probe is the child's trial of the pack in dir.
func probe(ctx context.Context, dir string, stage func(string)) error {
	p, err := models.Open(dir)
	if err != nil {
		return err
	}
	got, err := answers(ctx, p, stage)
	if err != nil {
		return err
	}
	for _, r := range p.Roles() {
		if n := p.Networks[r]; !n.Answers(got.Networks[r]) {
			return fmt.Errorf("%s: %w on the probe input", n.File, errGolden)
		}
	}
	if p.Name == models.PAD {
		return nil
	}
	return sameGolden(p, got.Golden)
}

// answers loads each network alone, then those that recognise people as an engine,
// and tells stage before each step that could be the last.
func answers(ctx context.Context, p *models.Pack, stage func(string)) (models.Answers, error) {
	a := models.Answers{Networks: map[models.Role][]float64{}}
	for _, r := range p.Roles() {
		values, err := networkAnswer(ctx, p, r, stage)
		if err != nil {
			return a, fmt.Errorf("%s: %w", p.Networks[r].File, err)
		}
		a.Networks[r] = values
	}
	if p.Name == models.PAD {
		return a, nil
	}
	stage("running the whole chain")
	e, open, err := OpenEngine(p, Options{Interpreters: 1})
	if err != nil {
		return a, err
	}
	defer open.Close()
	a.Golden, err = goldenAnswer(ctx, e)
	return a, err
}

func networkAnswer(ctx context.Context, p *models.Pack, r models.Role, stage func(string)) (values []float64, err error) {
	n := p.Networks[r]
	stage("hashing " + n.File)
	f, err := p.File(r)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stage("loading " + n.File)
	m, err := Load(f, Options{Interpreters: 1})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if err := sameShapes(n, m); err != nil {
		return nil, err
	}
	stage("running " + n.File)
	err = m.Run(ctx, n.ProbeInput, func(out [][]float32) { values = models.ProbeAnswer(out) })
	return values, err
}

// sameShapes compares a network's tensors with its manifest's.
func sameShapes(n models.Network, m engine.Model) error {
	if !slices.Equal(m.Input(), n.Input.Shape[:]) {
		return fmt.Errorf("its input is %v, the manifest says %v", m.Input(), n.Input.Shape)
	}
	outs := m.Outputs()
	if len(outs) != len(n.Outputs) {
		return fmt.Errorf("it has %d outputs, the manifest says %d", len(outs), len(n.Outputs))
	}
	for i, o := range n.Outputs {
		if !slices.Equal(outs[i], o.Shape) {
			return fmt.Errorf("output %s is %v, the manifest says %v", o.Name, outs[i], o.Shape)
		}
	}
	return nil
}

// Probed reports whether [ProbeOnce] would find nothing to do.
func Probed(p *models.Pack) bool {
	b, err := os.ReadFile(filepath.Join(p.Dir, probedFile))
	return p.Builtin() || err == nil && string(b) == probeMark(p)
}
