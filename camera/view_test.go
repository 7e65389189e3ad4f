package camera

import (
	"image"
	"math/rand/v2"
	"net/url"
	"testing"
)

func viewOf(t *testing.T, query string) *view {
	t.Helper()
	v, rest, err := takeView(&url.URL{Scheme: "file", Opaque: "a", RawQuery: "fps=3&" + query})
	if err != nil || rest.RawQuery != "fps=3" {
		t.Fatalf("%s: %v, the driver is left %q", query, err, rest.RawQuery)
	}
	return v
}

// A mark in the upper left of a frame is where the view says.
func TestViewTurns(t *testing.T) {
	for query, want := range map[string]image.Point{
		"rotate=0": {2, 1}, "rotate=90": {6, 2}, "rotate=180": {13, 6}, "rotate=270": {1, 13},
		"mirror=1": {13, 1}, "rotate=90&mirror=1": {1, 2}, "rotate=180&mirror=1": {2, 6}, "rotate=270&mirror=1": {6, 13},
	} {
		for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio422} {
			img := image.NewYCbCr(image.Rect(0, 0, 16, 8), ratio)
			img.Y[img.YOffset(2, 1)] = 255
			v := viewOf(t, query)
			for range 2 { // the second time in the same memory
				out := v.of(img)
				for y := range out.Rect.Dy() {
					for x := range out.Rect.Dx() {
						if got := out.YCbCrAt(x, y).Y == 255; got != (image.Pt(x, y) == want) {
							t.Errorf("%s %v: mark at (%d,%d): %v, want it at %v of %v", query, ratio, x, y, got, want, out.Rect)
						}
					}
				}
			}
		}
	}
}

func TestViewCutsOut(t *testing.T) {
	img := image.NewYCbCr(image.Rect(0, 0, 640, 480), image.YCbCrSubsampleRatio420)
	for query, want := range map[string]image.Rectangle{
		"roi=25,0,50,100":           image.Rect(160, 0, 480, 480),
		"roi=10,50,90,50&rotate=90": image.Rect(48, 320, 480, 640),
		"roi=0,0,100,100":           img.Rect,
	} {
		if got := viewOf(t, query).of(img).Rect; got != want {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

// A face that is followed is looked at closer, in its place, and the whole
// picture again and again.
func TestViewFollowsAFace(t *testing.T) {
	img := image.NewYCbCr(image.Rect(0, 0, 1280, 720), image.YCbCrSubsampleRatio420)
	v := viewOf(t, "zoom=face")
	face := image.Rect(900, 200, 960, 270)
	whole, smallest := 0, img.Rect.Dx()
	for i := range 40 {
		part := v.of(img).Rect
		if part == img.Rect {
			whole++
		} else {
			smallest = min(smallest, part.Dx())
			if !face.In(part) {
				t.Fatalf("frame %d looks at %v, the face is at %v", i, part, face)
			}
		}
		v.aim.see(face)
	}
	if whole < 8 || whole > 12 || smallest > 520 {
		t.Errorf("%d whole pictures of 40, the closest look %d wide", whole, smallest)
	}
	for range zoomLost {
		v.aim.see(image.Rectangle{})
	}
	if got := v.of(img).Rect; got != img.Rect {
		t.Errorf("without a face: %v", got)
	}
}

// Whatever faces are told, the part is a part of the picture and not empty.
func TestAimStaysInside(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		whole := image.Rect(4*rng.IntN(20), 2*rng.IntN(20), 160+4*rng.IntN(400), 120+2*rng.IntN(400))
		var a aim
		for range 10 {
			p := image.Pt(rng.IntN(2000)-500, rng.IntN(2000)-500)
			a.see(image.Rectangle{p, p.Add(image.Pt(rng.IntN(900), rng.IntN(900)))})
			part := a.part(whole)
			if part.Empty() || !part.In(whole) || part.Min.X%4 != 0 || part.Min.Y%2 != 0 {
				t.Fatalf("part %v of %v for a face at %v", part, whole, a.face)
			}
		}
	}
}

// Whatever stands in a query, a view of a frame is a part of it or turned, or the
// query is refused.
func FuzzView(f *testing.F) {
	f.Add("rotate=90&mirror=1&roi=10,20,30,40&zoom=face&x=%zz")
	f.Add("roi=0,0,5,5")
	f.Add("rotate=&roi=,,,&mirror")
	img := image.NewYCbCr(image.Rect(0, 0, 36, 28), image.YCbCrSubsampleRatio420)
	f.Fuzz(func(t *testing.T, query string) {
		v, rest, err := takeView(&url.URL{Scheme: "file", Opaque: "a", RawQuery: query})
		if err != nil {
			return
		}
		if _, again, err := takeView(rest); err != nil || again.RawQuery != rest.RawQuery {
			t.Fatalf("%q leaves %q, which leaves %q, %v", query, rest.RawQuery, again.RawQuery, err)
		}
		out := v.of(img)
		if !out.Rect.In(image.Rect(0, 0, 36, 36)) {
			t.Fatalf("%q: %v", query, out.Rect)
		}
		copyFrame(nil, out)
	})
}
