package accuracy_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"testing"

	"github.com/cypherface/edge/internal/accuracy"
)

// portrait is a grey wall with a disc for a face: as wide as a face is in the
// sets that Stress is made for.
func portrait() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, 250, 250))
	draw.Draw(img, img.Rect, image.NewUniform(color.NRGBA{120, 120, 120, 255}), image.Point{}, draw.Src)
	for y := range 250 {
		for x := range 250 {
			if dx, dy := float64(x)-124.5, float64(y)-124.5; dx*dx+dy*dy < 47*47 {
				img.SetNRGBA(x, y, color.NRGBA{230, 60, 60, 255})
			}
		}
	}
	return img
}

// disc measures the red disc: its width in pixels and its middle.
func disc(img *image.NRGBA) (width int, middle image.Point) {
	lo, hi, top, bottom := img.Rect.Max.X, -1, img.Rect.Max.Y, -1
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			if c := img.NRGBAAt(x, y); int(c.R)-int(c.G) > 85 {
				lo, hi, top, bottom = min(lo, x), max(hi, x), min(top, y), max(bottom, y)
			}
		}
	}
	return hi - lo + 1, image.Pt((lo+hi)/2, (top+bottom)/2)
}

func TestStressPlacesTheFace(t *testing.T) {
	src := portrait()
	narrow, wide := 1000, 0
	for i := range 60 {
		img, at := accuracy.Stress(src, fmt.Sprint(i), 1)
		if img.Rect != image.Rect(0, 0, accuracy.FrameWidth, accuracy.FrameHeight) {
			t.Fatalf("frame %v", img.Rect)
		}
		width, middle := disc(img)
		narrow, wide = min(narrow, width), max(wide, width)
		if d := middle.Sub(at); d.X*d.X+d.Y*d.Y > 16 {
			t.Errorf("image %d: face at %v, said to be at %v", i, middle, at)
		}
	}
	// The disc is a pixel narrower than the share of the portrait it stands for.
	if narrow < 55 || narrow > 75 || wide > 222 || wide < 205 {
		t.Errorf("faces %d to %d pixels wide, want %d to %d", narrow, wide, accuracy.MinFaceWidth, accuracy.MaxFaceWidth)
	}
}

func TestStressHasNoBlackCorners(t *testing.T) {
	for i := range 10 {
		img, _ := accuracy.Stress(portrait(), fmt.Sprint(i), 3)
		for _, p := range []image.Point{{0, 0}, {639, 0}, {0, 479}, {639, 479}, {320, 0}, {0, 240}} {
			if c := img.NRGBAAt(p.X, p.Y); c.R < 100 || c.G < 60 || c.A != 255 {
				t.Errorf("image %d: %v at %v, want the portrait's wall", i, c, p)
			}
		}
	}
}

func TestStressAndLightRepeat(t *testing.T) {
	src := portrait()
	for name, make := range map[string]func(name string, seed uint64) *image.NRGBA{
		"stress": func(n string, s uint64) *image.NRGBA { img, _ := accuracy.Stress(src, n, s); return img },
		"light":  func(n string, s uint64) *image.NRGBA { return accuracy.Light(src, n, s) },
	} {
		a, b := make("a", 1), make("a", 1)
		if !bytes.Equal(a.Pix, b.Pix) {
			t.Errorf("%s: one seed and name, two pictures", name)
		}
		if bytes.Equal(a.Pix, make("a", 2).Pix) || bytes.Equal(a.Pix, make("b", 1).Pix) {
			t.Errorf("%s: another seed or name, the same picture", name)
		}
	}
}

func TestStressSmallestPicture(t *testing.T) {
	img, _ := accuracy.Stress(image.NewGray(image.Rect(5, 5, 6, 6)), "dot", 1)
	if img.Rect.Dx() != accuracy.FrameWidth {
		t.Errorf("frame %v", img.Rect)
	}
	accuracy.Light(image.NewGray(image.Rect(5, 5, 6, 6)), "dot", 1)
}

// look is what a kind of light must do to the disc, in mean code values.
type look struct{ left, right, wall float64 }

func lookOf(img *image.NRGBA) look {
	mean := func(r image.Rectangle) float64 {
		var sum float64
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				sum += float64(img.NRGBAAt(x, y).R)
			}
		}
		return sum / float64(r.Dx()*r.Dy())
	}
	return look{mean(image.Rect(90, 105, 115, 145)), mean(image.Rect(135, 105, 160, 145)), mean(image.Rect(5, 5, 40, 120))}
}

func TestLightConditions(t *testing.T) {
	src := portrait()
	plain := lookOf(src)
	for _, c := range []struct {
		kind string
		ok   func(l look) bool
	}{
		{"side light", func(l look) bool { return max(l.left, l.right) > 1.4*min(l.left, l.right) }},
		{"back light", func(l look) bool { return l.wall > 170 && l.left < 0.5*plain.left }},
		{"under-exposed", func(l look) bool { return l.left < 0.45*plain.left && l.wall < 0.5*plain.wall }},
		{"over-exposed", func(l look) bool { return l.left > 245 && l.wall > 170 }},
		{"sensor noise", func(l look) bool { return l.left > 0.8*plain.left && l.wall > 0.8*plain.wall }},
	} {
		seen := 0
		for i := range 40 {
			name := fmt.Sprint(i)
			if accuracy.Condition(name, 8) != c.kind {
				continue
			}
			seen++
			if l := lookOf(accuracy.Light(src, name, 8)); !c.ok(l) {
				t.Errorf("%s, image %d: %+v (plain %+v)", c.kind, i, l, plain)
			}
		}
		if seen == 0 {
			t.Errorf("no image with %s among 40", c.kind)
		}
	}
}

func BenchmarkStress(b *testing.B) {
	src := portrait()
	for i := range b.N {
		accuracy.Stress(src, fmt.Sprint(i), 1)
	}
}
