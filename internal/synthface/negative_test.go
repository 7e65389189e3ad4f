package synthface

import (
	"image"
	"math"
	"testing"
)

// spread is the mean and standard deviation of the luma in the middle of a picture.
func spread(img *image.YCbCr) (mean, deviation float64) {
	b := img.Rect.Inset(img.Rect.Dx() / 4)
	n := 0.0
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			v := float64(img.Y[img.YOffset(x, y)])
			mean, deviation, n = mean+v, deviation+v*v, n+1
		}
	}
	mean /= n
	return mean, math.Sqrt(max(0, deviation/n-mean*mean))
}

// evenly is a negative of one brightness.
func evenly(light float64) *Negative {
	n := Capture(small(64, 48))
	for i := range n.light {
		n.light[i] = vec{light, light, light}
	}
	return n
}

func TestExposeFollowsTheLight(t *testing.T) {
	n := evenly(.18)
	last := -1.0
	for _, time := range []float64{0, .1, .25, .5, 1, 2, 4} {
		mean, _ := spread(n.Expose(time, 1, 1))
		if mean <= last {
			t.Errorf("%g times the light: %.1f, not brighter than %.1f", time, mean, last)
		}
		last = mean
	}
	if white, dev := spread(n.Expose(50, 1, 1)); white < 254 || dev > 1 {
		t.Errorf("over-exposed: %.1f, deviation %.1f; want plain white", white, dev)
	}
	same, _ := spread(n.Expose(4, .25, 1))
	if want, _ := spread(n.Expose(1, 1, 1)); math.Abs(same-want) > 1 {
		t.Errorf("four times the time at a quarter of the gain: %.1f, want %.1f", same, want)
	}
}

// Gain is no substitute for light.
func TestGainAmplifiesNoise(t *testing.T) {
	bright, fine := spread(evenly(.2).Expose(1, 1, 1))
	dim, coarse := spread(evenly(.2/16).Expose(1, 16, 1))
	if math.Abs(bright-dim) > 2 || fine < .5 || coarse < 3*fine {
		t.Errorf("mean %.1f and %.1f, noise %.2f and %.2f", bright, dim, fine, coarse)
	}
}

// What is white in one exposure of a negative is there in another.
func TestNegativeKeepsHighlights(t *testing.T) {
	n := Capture(small(64, 48))
	for i := range n.light {
		n.light[i] = vec{3, 3, 3}
		if i%2 == 0 {
			n.light[i] = vec{6, 6, 6}
		}
	}
	if _, dev := spread(n.Expose(1, 1, 1)); dev > 1 {
		t.Errorf("two whites differ by %.1f", dev)
	}
	if _, dev := spread(n.Expose(.05, 1, 1)); dev < 5 {
		t.Errorf("exposed for them they differ by %.1f only", dev)
	}
}

// Capture and Expose draw what Render draws.
func TestExposeIsRender(t *testing.T) {
	s, who := Scene{Width: 96, Height: 72}, Subject{Person: ada}
	want, got := Render(s, who), Capture(s, who)
	img := got.Expose(1, 1, 1)
	var off float64
	for i := range img.Y {
		off += math.Abs(float64(img.Y[i]) - float64(want.Image.Y[i]))
	}
	if off /= float64(len(img.Y)); off > 4 || got.Faces[0] != want.Faces[0] {
		t.Errorf("off by %.1f levels; keypoints %v, want %v", off, got.Faces, want.Faces)
	}
}

func TestAutomaticServesTheFrame(t *testing.T) {
	for _, light := range []float64{.02, .2, 1.5} {
		n := evenly(light)
		time, gain := n.Automatic()
		if mean, _ := spread(n.Expose(time, gain, 1)); math.Abs(mean/255-.45) > .03 {
			t.Errorf("light of %g: mean %.2f with a time of %.2f and a gain of %.2f", light, mean/255, time, gain)
		}
	}
	if time, gain := evenly(1e-6).Automatic(); time > 2.01 || gain > 16.1 {
		t.Errorf("no light: time %.2f, gain %.2f", time, gain)
	}
}
