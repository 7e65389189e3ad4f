//go:build cgo

package tflite_test

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/models"
)

const packs = "../../.deps/packs"

// eachPack runs a test on every installed pack.
func eachPack(t *testing.T, fn func(t *testing.T, p *models.Pack)) {
	t.Helper()
	all, err := models.Installed(packs)
	if err != nil || len(all) == 0 {
		t.Fatalf("no pack in %s (make setup installs them): %v", packs, err)
	}
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) { fn(t, p) })
	}
}

func open(t *testing.T, p *models.Pack, opt tflite.Options) *engine.Engine {
	t.Helper()
	e, networks, err := tflite.OpenEngine(p, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := networks.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// thorough skips a test where it would take minutes: -short is for emulated
// processors, on which TestSelfTest compares every network's answers with those
// recorded on another one.
func thorough(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out of -short")
	}
}

// portrait renders a person at a distance in cm.
func portrait(who int, distance, yaw float64) *image.YCbCr {
	cast := synthface.Cast()
	return synthface.Render(synthface.Scene{Width: 320, Height: 240, Seed: int64(who)},
		synthface.Subject{Person: cast[who%len(cast)], Pose: synthface.Pose{Distance: distance, Yaw: yaw}}).Image
}

func dominant(t *testing.T, e *engine.Engine, img image.Image) engine.Face {
	t.Helper()
	faces, err := e.Detect(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	f, _, ok := engine.Dominant(faces)
	if !ok {
		t.Fatal("no face found")
	}
	return f
}

func embed(t *testing.T, e *engine.Engine, img image.Image) engine.Template {
	t.Helper()
	template, err := e.Embed(t.Context(), img, dominant(t, e, img))
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func TestChainTellsPeopleApart(t *testing.T) {
	eachPack(t, func(t *testing.T, p *models.Pack) {
		e := open(t, p, tflite.Options{})
		if err := tflite.SelfTest(t.Context(), e, p); err != nil {
			t.Error(err)
		}
		a, b, other := embed(t, e, portrait(0, 60, 0)), embed(t, e, portrait(0, 75, 8)), embed(t, e, portrait(1, 60, 0))
		if mates, strangers := engine.Compare(a, b), engine.Compare(a, other); 1-mates > (1-strangers)/2 {
			t.Errorf("one person twice: %.2f, two people: %.2f", mates, strangers)
		}
	})
}

func TestKindsOfImages(t *testing.T) {
	thorough(t)
	face := portrait(2, 60, 0)
	rgba := image.NewRGBA(face.Rect)
	draw.Draw(rgba, face.Rect, face, image.Point{}, draw.Src)
	grey := image.NewGray(face.Rect)
	draw.Draw(grey, face.Rect, face, image.Point{}, draw.Src)
	big := image.NewNRGBA(image.Rect(0, 0, 900, 700))
	draw.Draw(big, big.Rect, image.NewUniform(color.Gray{90}), image.Point{}, draw.Src)
	draw.Draw(big, image.Rect(400, 300, 720, 540), face, image.Point{}, draw.Src)
	eachPack(t, func(t *testing.T, p *models.Pack) {
		e := open(t, p, tflite.Options{})
		want := embed(t, e, face)
		for name, c := range map[string]struct {
			img   image.Image
			least float64
		}{
			"rgba":             {rgba, 0.99},
			"grey":             {grey, 0.6},
			"part of a larger": {big.SubImage(image.Rect(400, 300, 720, 540)), 0.99},
			"in a larger":      {big, 0.9},
		} {
			if got := engine.Compare(embed(t, e, c.img), want); got < c.least {
				t.Errorf("%s: cosine %.3f to the same picture, want %.2f", name, got, c.least)
			}
		}
	})
}

func TestNoFaceIsNoError(t *testing.T) {
	thorough(t)
	noise := image.NewYCbCr(image.Rect(0, 0, 320, 240), image.YCbCrSubsampleRatio420)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise.Y {
		noise.Y[i] = byte(rng.Uint32())
	}
	room := synthface.Render(synthface.Scene{Width: 320, Height: 240}).Image
	eachPack(t, func(t *testing.T, p *models.Pack) {
		e := open(t, p, tflite.Options{})
		for name, img := range map[string]image.Image{
			"noise": noise, "room": room, "pixel": image.NewGray(image.Rect(0, 0, 1, 1)),
			"line": image.NewGray(image.Rect(0, 0, 4000, 1)), "black": image.NewNRGBA(image.Rect(0, 0, 64, 64)),
		} {
			if faces, err := e.Detect(t.Context(), img); err != nil || len(faces) != 0 {
				t.Errorf("%s: %d faces, %v", name, len(faces), err)
			}
		}
	})
}

func TestSeveralTinyAndCutFaces(t *testing.T) {
	thorough(t)
	cast := synthface.Cast()
	scene := synthface.Scene{Width: 640, Height: 360}
	pair := synthface.Render(scene,
		synthface.Subject{Person: cast[0], Pose: synthface.Pose{X: -20, Distance: 70}},
		synthface.Subject{Person: cast[1], Pose: synthface.Pose{X: 20, Distance: 75}}).Image
	far := synthface.Render(scene,
		synthface.Subject{Person: cast[0], Pose: synthface.Pose{X: -18, Distance: 60}},
		synthface.Subject{Person: cast[1], Pose: synthface.Pose{X: 45, Distance: 170}}).Image
	tiny := synthface.Render(scene, synthface.Subject{Person: cast[0], Pose: synthface.Pose{Distance: 220}}).Image
	whole := portrait(0, 45, 0)
	eachPack(t, func(t *testing.T, p *models.Pack) {
		e := open(t, p, tflite.Options{})
		faces, err := e.Detect(t.Context(), pair)
		if err != nil {
			t.Fatal(err)
		}
		if _, ambiguous, _ := engine.Dominant(faces); len(faces) != 2 || !ambiguous {
			t.Errorf("two people side by side: %d faces, ambiguous %v", len(faces), ambiguous)
		}
		faces, err = e.Detect(t.Context(), far)
		if err != nil {
			t.Fatal(err)
		}
		if f, ambiguous, ok := engine.Dominant(faces); !ok || ambiguous || f.Box.Center().X > 320 {
			t.Errorf("one before another: %d faces, ambiguous %v, dominant at %v", len(faces), ambiguous, f.Box.Center())
		}
		faces, err = e.Detect(t.Context(), tiny)
		if err != nil {
			t.Fatal(err)
		}
		if len(faces) > 0 && !slices.Contains(faces[0].Quality.Reasons, engine.TooSmall) {
			t.Errorf("a tiny face (eyes %.0f px apart): reasons %v", faces[0].EyeDistance(), faces[0].Quality.Reasons)
		}
		b := dominant(t, e, whole).Box
		cut := whole.SubImage(image.Rect(int(b.X0+0.35*b.Width()), 0, 320, 240))
		faces, err = e.Detect(t.Context(), cut)
		if err != nil {
			t.Fatal(err)
		}
		if len(faces) > 0 && !slices.Contains(faces[0].Quality.Reasons, engine.CutByFrame) {
			t.Errorf("a face cut by the frame: inside %.2f, reasons %v", faces[0].Quality.Inside, faces[0].Quality.Reasons)
		}
	})
}

func TestCropEmbedsAsTheImageDoes(t *testing.T) {
	thorough(t)
	eachPack(t, func(t *testing.T, p *models.Pack) {
		e := open(t, p, tflite.Options{})
		for who := range 3 {
			img := portrait(who, 60, 5)
			f := dominant(t, e, img)
			direct, err := e.Embed(t.Context(), img, f)
			if err != nil {
				t.Fatal(err)
			}
			again, err := e.EmbedCrop(t.Context(), e.Crop(img, f))
			if err != nil {
				t.Fatal(err)
			}
			if c := engine.Compare(direct, again); c < 0.98 {
				t.Errorf("person %d: cosine %.3f between the image and its crop", who, c)
			}
		}
	})
}

func TestManyAtOnceAnswerTheSame(t *testing.T) {
	thorough(t)
	img := portrait(3, 60, 0)
	eachPack(t, func(t *testing.T, p *models.Pack) {
		e := open(t, p, tflite.Options{Interpreters: 3})
		f := dominant(t, e, img)
		want, err := e.Embed(t.Context(), img, f)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 3 {
					if got, err := e.Embed(t.Context(), img, f); err != nil || !slices.Equal(got, want) {
						t.Errorf("another answer beside others: %v", err)
					}
				}
			})
		}
		wg.Wait()
	})
}

func load(t *testing.T, opt tflite.Options) *tflite.Model {
	t.Helper()
	p, err := models.Default(packs)
	if err != nil {
		t.Fatalf("%v (make setup)", err)
	}
	f, err := p.File(models.DetectShort)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := tflite.Load(f, opt)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRunWaitsForAnInterpreterAndStopsWithItsContext(t *testing.T) {
	m := load(t, tflite.Options{Interpreters: 1})
	defer m.Close()
	busy, release := make(chan bool), make(chan bool)
	done := make(chan error)
	go func() {
		done <- m.Run(t.Context(), func([]float32) { close(busy); <-release }, func([][]float32) {})
	}()
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := m.Run(ctx, func([]float32) { t.Error("ran beside the only interpreter") }, func([][]float32) {})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCloseWaitsAndEndsUse(t *testing.T) {
	m := load(t, tflite.Options{Interpreters: 2})
	busy, release := make(chan bool), make(chan bool)
	done := make(chan error)
	go func() {
		done <- m.Run(t.Context(), func([]float32) { close(busy); <-release }, func([][]float32) {})
	}()
	<-busy
	closed := make(chan error)
	go func() { closed <- m.Close() }()
	select {
	case <-closed:
		t.Fatal("closed under an inference")
	default:
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("the inference that ran: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := m.Run(t.Context(), func([]float32) {}, func([][]float32) {}); err == nil {
		t.Error("ran after Close")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestLoadRefusesWhatIsNoNetwork(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "text": "not a network", "zeros": string(make([]byte, 4096))} {
		f, err := os.CreateTemp(t.TempDir(), "net")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := io.WriteString(f, content); err != nil {
			t.Fatal(err)
		}
		if m, err := tflite.Load(f, tflite.Options{}); err == nil {
			m.Close()
			t.Errorf("%s: loaded", name)
		}
	}
}

// With and without XNNPACK the same network answers alike: the delegate is the
// one we think it is.
func TestDelegateComputesTheSame(t *testing.T) {
	p, err := models.Default(packs)
	if err != nil {
		t.Fatalf("%v (make setup)", err)
	}
	var answers [2][]float64
	for i, opt := range []tflite.Options{{Interpreters: 1}, {Interpreters: 1, NoDelegate: true}} {
		m := load(t, opt)
		n := p.Networks[models.DetectShort]
		err := m.Run(t.Context(), n.ProbeInput, func(out [][]float32) { answers[i] = models.ProbeAnswer(out) })
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
	}
	n := models.Network{Golden: answers[1]}
	if !n.Answers(answers[0]) {
		t.Errorf("with XNNPACK %v, without %v", answers[0], answers[1])
	}
}
