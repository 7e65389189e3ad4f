package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/accuracy"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/models"
)

// evalSet is the labelled images of one run.
type evalSet struct {
	root   *os.Root // images are named by a file from outside: none is read elsewhere
	pairs  []accuracy.Pair
	images []string
	groups map[string]string
	halves bool
	pack   packFlags
}

func openSet(opt *evalOptions) (*evalSet, error) {
	f, err := os.Open(opt.pairs)
	if err != nil {
		return nil, fmt.Errorf("read pairs: %w", err)
	}
	defer f.Close()
	s := &evalSet{pack: opt.pack, halves: opt.halves}
	if s.pairs, err = accuracy.ReadPairs(f); err != nil {
		return nil, err
	}
	s.images = accuracy.Images(s.pairs)
	people := make(map[string]bool)
	for _, name := range s.images {
		people[accuracy.Person(name)] = true
	}
	if opt.identify >= len(people) && opt.identify > 0 { // before minutes are spent
		return nil, fmt.Errorf("--identify %d: the pairs are of %d people, and some must stay strangers", opt.identify, len(people))
	}
	if opt.groups != "" {
		g, err := os.Open(opt.groups)
		if err != nil {
			return nil, fmt.Errorf("read groups: %w", err)
		}
		defer g.Close()
		if s.groups, err = accuracy.ReadGroups(g); err != nil {
			return nil, err
		}
	}
	if s.root, err = os.OpenRoot(opt.images); err != nil {
		return nil, fmt.Errorf("open images: %w", err)
	}
	return s, nil
}

// view is how the images are looked at: as they are, as a camera at a door
// sees them, or in bad light; and which faces the engine looks at twice.
type view struct {
	stress, light uint64 // seeds; 0 is off
	look          engine.SecondLook
}

func (v view) String() string {
	name := "plain"
	switch {
	case v.stress != 0:
		name = fmt.Sprintf("stressed (seed %d)", v.stress)
	case v.light != 0:
		name = fmt.Sprintf("in bad light (seed %d)", v.light)
	}
	return name + lookNames[v.look]
}

// lookNames are what the looks add to a view's name.
var lookNames = map[engine.SecondLook]string{
	engine.LookWhenHard: "", engine.LookOnce: ", one look", engine.LookTwice: ", two looks",
}

// measured is the outcome of one pass over the images.
type measured struct {
	view      view
	pack      *models.Pack
	templates accuracy.Templates
	result    *accuracy.Result
	groups    []accuracy.Group
	halves    []*accuracy.Result
}

func (m *measured) curve() accuracy.Curve {
	return accuracy.Curve{Name: m.view.String(), Result: m.result}
}

// measure embeds all images in one view and compares them. Nothing is kept on
// disk between runs: a template is only as good as the engine that made it.
func (s *evalSet) measure(ctx context.Context, t *terminal, v view) (*measured, error) {
	e, pack, networks, err := s.pack.open(ctx, t, tflite.Options{
		Adjust: func(c *engine.Config) { c.SecondLook = v.look },
	})
	if err != nil {
		return nil, err
	}
	defer networks.Close()
	bar := newProgress(t.err, fmt.Sprintf("pack %s, %s: image", pack.Name, v))
	templates, err := accuracy.Collect(ctx, s.images, runtime.GOMAXPROCS(0), func(ctx context.Context, name string) ([]float32, error) {
		return s.embed(ctx, e, name, v)
	}, bar.step)
	bar.end()
	if err != nil {
		return nil, err
	}
	m := &measured{view: v, pack: pack, templates: templates}
	if m.result, err = accuracy.Measure(s.pairs, templates); err != nil {
		return nil, err
	}
	if s.halves {
		if m.halves, err = s.measureHalves(templates); err != nil {
			return nil, err
		}
	}
	groups := s.groups
	if groups == nil && v.light != 0 {
		groups = make(map[string]string)
		for _, name := range s.images {
			groups[name] = accuracy.Condition(name, v.light)
		}
	}
	if groups != nil {
		m.groups = accuracy.ByGroup(m.result, s.pairs, templates, groups)
	}
	return m, nil
}

// measureHalves measures the first half of the file's blocks and the second by
// themselves: what was chosen on one is confirmed on the other.
func (s *evalSet) measureHalves(t accuracy.Templates) ([]*accuracy.Result, error) {
	blocks := accuracy.Blocks(s.pairs)
	middle := len(blocks) / 2
	var results []*accuracy.Result
	for _, half := range [][][]accuracy.Pair{blocks[:middle], blocks[middle:]} {
		r, err := accuracy.Measure(slices.Concat(half...), t)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return results, nil
}

// embed makes the template of one image. A missing or unreadable file ends the
// run: the numbers would be about other images than the pairs file says.
func (s *evalSet) embed(ctx context.Context, e *engine.Engine, name string, v view) ([]float32, error) {
	b, err := s.root.ReadFile(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	p, err := picture.Decode(b, picture.Limits{})
	if err != nil {
		return nil, err
	}
	img, middle := v.apply(p.Image, name)
	faces, err := e.Detect(ctx, img)
	if err != nil {
		return nil, err
	}
	face, err := subject(faces, middle)
	if err != nil {
		return nil, err
	}
	return e.Embed(ctx, img, face)
}

// apply shows an image in this view, and where the person it is about is.
func (v view) apply(img image.Image, name string) (image.Image, image.Point) {
	switch {
	case v.stress != 0:
		return accuracy.Stress(img, name, v.stress)
	case v.light != 0:
		img = accuracy.Light(img, name, v.light)
	}
	b := img.Bounds()
	return img, b.Min.Add(b.Size().Div(2))
}

var errNobody = errors.New("no face in the middle")

// subject is the face that the label is about: of those that cover the place
// the one whose middle is nearest. Others may look over its shoulder, and
// larger.
func subject(faces []engine.Face, at image.Point) (engine.Face, error) {
	x, y := float64(at.X), float64(at.Y)
	best, nearest := -1, math.Inf(1)
	for i, f := range faces {
		if x < f.Box.X0 || x > f.Box.X1 || y < f.Box.Y0 || y > f.Box.Y1 {
			continue
		}
		c := f.Box.Center()
		if d := math.Hypot(c.X-x, c.Y-y); d < nearest {
			best, nearest = i, d
		}
	}
	if best < 0 {
		return engine.Face{}, fmt.Errorf("%w: %w", accuracy.ErrFailure, errNobody)
	}
	return faces[best], nil
}
