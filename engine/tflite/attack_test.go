//go:build cgo

package tflite_test

import (
	"errors"
	"image"
	"image/draw"
	"io/fs"
	"math"
	"os"
	"testing"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/models"
)

const shared = "../../../shared/models/"

// padPack makes the pack against presentation attacks of its original weights.
func padPack(t *testing.T) *models.Pack {
	t.Helper()
	p, err := models.Installer{Root: t.TempDir()}.Build(t.Context(), models.PAD, models.Folders(shared+"sources"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the weights against presentation attacks are not at ../shared/models/sources")
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// cutBGR is a rectangle of an image stretched to 80×80, bilinear, blue first: what the
// makers of the networks have their library do, in plain arithmetic.
func cutBGR(img *image.RGBA, cut image.Rectangle) []float32 {
	var out []float32
	at := func(x, y, c int) float64 {
		return float64(img.Pix[img.PixOffset(min(max(x, cut.Min.X), cut.Max.X-1), min(max(y, cut.Min.Y), cut.Max.Y-1))+c])
	}
	for v := range 80 {
		for u := range 80 {
			x := (float64(u)+.5)*float64(cut.Dx())/80 - .5 + float64(cut.Min.X)
			y := (float64(v)+.5)*float64(cut.Dy())/80 - .5 + float64(cut.Min.Y)
			x0, y0 := int(math.Floor(x)), int(math.Floor(y))
			fx, fy := x-float64(x0), y-float64(y0)
			for _, c := range []int{2, 1, 0} {
				top := at(x0, y0, c)*(1-fx) + at(x0+1, y0, c)*fx
				low := at(x0, y0+1, c)*(1-fx) + at(x0+1, y0+1, c)*fx
				out = append(out, float32(math.Round(top*(1-fy)+low*fy)))
			}
		}
	}
	return out
}

// TestAttackAgainstReferences compares the whole way from a picture to a probability
// with independent conversions of the networks, fed by plain arithmetic.
func TestAttackAgainstReferences(t *testing.T) {
	pad := padPack(t)
	p, err := models.Default(packs)
	if err != nil {
		t.Fatal(err)
	}
	e := open(t, p, tflite.Options{Beside: pad})
	mates, stranger, err := models.GoldenImages()
	if err != nil {
		t.Fatal(err)
	}
	for i, img := range []image.Image{mates[0], mates[1], stranger} {
		rgb := image.NewRGBA(img.Bounds())
		draw.Draw(rgb, rgb.Rect, img, rgb.Rect.Min, draw.Src)
		face := dominant(t, e, img)
		// Known by its eyes and mouth alone, the box is worked out anew.
		l := face.Landmarks
		ex, ey, mx, my := (l[0].X+l[1].X)/2, (l[0].Y+l[1].Y)/2, (l[3].X+l[4].X)/2, (l[3].Y+l[4].Y)/2
		s := max(face.EyeDistance(), math.Hypot(ex-mx, ey-my))
		living := 0.
		for reference, scale := range map[string]float64{"minifasnet_live1_f32": 2.7, "minifasnet_live2_f32": 4} {
			w, h := 2.1*s, 2.8*s
			k := min(scale, float64(rgb.Rect.Dx()-1)/w, float64(rgb.Rect.Dy()-1)/h)
			side := func(middle, size float64, pixels int) (int, int) {
				from, to := middle-size/2, middle+size/2
				if from < 0 {
					from, to = 0, to-from
				}
				if last := float64(pixels - 1); to > last {
					from, to = from-(to-last), last
				}
				return int(from), int(to) + 1
			}
			x0, x1 := side((ex+mx)/2, w*k, rgb.Rect.Dx())
			y0, y1 := side((ey+my)/2-.15*s, h*k, rgb.Rect.Dy())
			living += answer(t, shared+"reference/"+reference+".tflite", cutBGR(rgb, image.Rect(x0, y0, x1, y1))) / 2
		}
		got, err := e.Attack(t.Context(), img, face)
		if err != nil || math.Abs(got-(1-living)) > .02 {
			t.Errorf("golden image %d: %.4f, the references say %.4f; %v", i+1, got, 1-living, err)
		}
	}
}

// answer runs a network that gives probabilities, and takes that of the living.
func answer(t *testing.T, path string, pixels []float32) (living float64) {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the reference networks are not at ../shared/models/reference")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := tflite.Load(f, tflite.Options{Interpreters: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	err = m.Run(t.Context(), func(in []float32) { copy(in, pixels) }, func(out [][]float32) { living = float64(out[0][1]) })
	if err != nil {
		t.Fatal(err)
	}
	return living
}

// Beside a pack its templates stay what they are; alone it recognises nobody.
func TestThePackAgainstAttacksChangesNoTemplate(t *testing.T) {
	pad := padPack(t)
	eachPack(t, func(t *testing.T, p *models.Pack) {
		img := portrait(1, 60, 0)
		want := embed(t, open(t, p, tflite.Options{}), img)
		e := open(t, p, tflite.Options{Beside: pad})
		if got := embed(t, e, img); engine.Compare(got, want) < .999999 || e.Space() != p.Space {
			t.Errorf("cosine %v, space %s", engine.Compare(got, want), e.Space())
		}
		if v, err := e.Attack(t.Context(), img, dominant(t, e, img)); err != nil || !(v >= 0 && v <= 1) {
			t.Errorf("%v, %v", v, err)
		}
	})
	if _, _, err := tflite.OpenEngine(pad, tflite.Options{}); err == nil {
		t.Error("it is an engine by itself")
	}
}
