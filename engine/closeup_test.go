package engine

import (
	"image"
	"math"
	"testing"
)

// TestCloseUp leans a head by 30° and lets the short range answer with an
// upright face: the keypoints must come back leaning.
func TestCloseUp(t *testing.T) {
	at := anchors(128, 896)
	lean := 30 * math.Pi / 180
	full := fakeDetector(192, 2304, func(reg, cls []float32) {
		far := anchors(192, 2304)
		plant(reg, cls, far, 1000, 3, Point{96, 96}, 40, 16)
		r := reg[16*1000:]
		dx, dy := float32(96-far[1000].X), float32(96-far[1000].Y)
		r[4], r[5] = dx-float32(8*math.Cos(lean)), dy-float32(8*math.Sin(lean))
		r[6], r[7] = dx+float32(8*math.Cos(lean)), dy+float32(8*math.Sin(lean))
	})
	for _, c := range []struct {
		name   string
		center Point
		eyes   float64 // apart, in the image
	}{
		{"found in the middle", Point{64, 66}, 32 * 80. / 128},
		{"somebody else beside", Point{100, 64}, 16},
	} {
		short := fakeDetector(128, 896, func(reg, cls []float32) { plant(reg, cls, at, 600, 3, c.center, 64, 32) })
		e := newFake(t, full, short)
		faces, err := e.Detect(t.Context(), image.NewGray(image.Rect(0, 0, 192, 192)))
		if err != nil || len(faces) != 1 {
			t.Fatalf("%s: %v %v", c.name, faces, err)
		}
		f := faces[0]
		if d := f.EyeDistance(); math.Abs(d-c.eyes) > 1e-3 {
			t.Errorf("%s: eyes %v apart, want %v", c.name, d, c.eyes)
		}
		if a := f.eyeAngle(); math.Abs(a-lean) > 1e-5 {
			t.Errorf("%s: leans by %v, want %v", c.name, a, lean)
		}
	}
}
