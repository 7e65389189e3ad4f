package verify_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"log/slog"
	"math"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// look is a face as fakeEngine sees it. Images carry looks in their pixels.
type look struct {
	who    byte // 1..25; the same face in every image
	also   byte // somebody whom the face resembles just as much (100 and more: less); 0: nobody
	like   byte // percent of likeness to the enrolled face; 0 means 100
	eyes   byte // eye distance in pixels; 0 means 64
	x      byte // of the left edge of the box, in tens of pixels
	reason byte // 1 + index in reasons; 0: none
}

var reasons = []engine.Reason{engine.Blurred, engine.TurnedAway, engine.SideLit, engine.TooDark}

const (
	blurred = 1 + iota
	turnedAway
	sideLit
	tooDark
)

// picture is an image of these faces, the dominant one first.
func picture(looks ...look) *image.YCbCr {
	img := image.NewYCbCr(image.Rect(0, 0, 64, 4), image.YCbCrSubsampleRatio420)
	img.Y[0] = byte(len(looks))
	for i, l := range looks {
		copy(img.Y[1+6*i:], []byte{l.who, l.also, l.like, l.eyes, l.x, l.reason})
	}
	return img
}

func of(who byte) image.Image { return picture(look{who: who}) }

// fakeEngine finds the looks in images. Its templates are unit vectors along an
// axis for each person, so that the score of two people is 0 and that of one is
// the likeness. It is of one space.
type fakeEngine struct {
	space string
	axis  int   // by which the people's axes are turned: another space
	fail  error // of every call
	// attack is what Attack says of every face.
	attack float64
	calls  struct{ detect, embed atomic.Int64 }
}

const dim = 32

func (e *fakeEngine) Space() string { return e.space }
func (e *fakeEngine) Dim() int      { return dim }

func (e *fakeEngine) Detect(_ context.Context, img image.Image) ([]engine.Face, error) {
	e.calls.detect.Add(1)
	if e.fail != nil {
		return nil, e.fail
	}
	pix := img.(*image.YCbCr).Y
	if img.Bounds().Dx() == engine.CropSize {
		return nil, nil // a crop has no looks in its pixels
	}
	var faces []engine.Face
	for i := range int(pix[0]) {
		l := pix[1+6*i:]
		eyes, x := float64(l[3]), 10*float64(l[4])
		if eyes == 0 {
			eyes = 64
		}
		f := engine.Face{Box: engine.Rect{X0: x, Y0: 50, X1: x + 2*eyes, Y1: 50 + 2*eyes}, Score: 0.9}
		f.Landmarks[1] = engine.Point{X: eyes}
		f.Keypoints[0].X = float64(i) // where Embed finds the look again
		if l[5] > 0 {
			f.Quality.Reasons = []engine.Reason{reasons[l[5]-1]}
		}
		faces = append(faces, f)
	}
	return faces, nil
}

func (e *fakeEngine) Embed(_ context.Context, img image.Image, f engine.Face) (engine.Template, error) {
	e.calls.embed.Add(1)
	l := img.(*image.YCbCr).Y[1+6*int(f.Keypoints[0].X):]
	return e.template(l[0], l[1], l[2]), e.fail
}

func (e *fakeEngine) template(who, also, like byte) engine.Template {
	share := float64(like) / 100
	if like == 0 {
		share = 1
	}
	t := make(engine.Template, dim)
	t[dim-1] = float32(math.Sqrt(1 - share*share)) // like nobody
	if also >= 100 {
		also -= 100
		t[(int(also)+e.axis)%(dim-1)] = float32(share * 0.6)
		share *= 0.8
	} else if also > 0 {
		share /= math.Sqrt2
		t[(int(also)+e.axis)%(dim-1)] = float32(share)
	}
	t[(int(who)+e.axis)%(dim-1)] = float32(share)
	return t
}

// Crop paints the person's number so that it survives JPEG.
func (e *fakeEngine) Crop(img image.Image, f engine.Face) engine.Crop {
	c := engine.Crop{Image: image.NewYCbCr(image.Rect(0, 0, engine.CropSize, engine.CropSize), image.YCbCrSubsampleRatio444)}
	who := img.(*image.YCbCr).Y[1+6*int(f.Keypoints[0].X)]
	for i := range c.Image.Y {
		c.Image.Y[i], c.Image.Cb[i], c.Image.Cr[i] = 10*who, 128, 128
	}
	return c
}

func (e *fakeEngine) EmbedCrop(_ context.Context, c engine.Crop) (engine.Template, error) {
	return e.template((c.Image.Y[0]+5)/10, 0, 0), e.fail
}

// Attack says what it was told to, of every face.
func (e *fakeEngine) Attack(context.Context, image.Image, engine.Face) (float64, error) {
	return e.attack, nil
}

// calibration knows scores as fakeEngine gives them: 0.5 is FMR 1e-4.
func calibration() *models.Calibration {
	return &models.Calibration{Origin: "made up", ImpostorPairs: 100_000_000, MatePairs: 1000, Points: []models.Point{
		{Score: 0.2, FMR: 0.1}, {Score: 0.3, FMR: 1e-2}, {Score: 0.4, FMR: 1e-3},
		{Score: 0.5, FMR: 1e-4}, {Score: 0.6, FMR: 1e-5}, {Score: 0.7, FMR: 1e-6}}}
}

// box is a service over a store of its own, with one merchant.
type box struct {
	*testing.T
	*verify.Service
	store       store.Store
	engine      *fakeEngine
	real        verify.Engine // in place of engine, where it is set
	calibration *models.Calibration
	merchant    store.MerchantID
	log         bytes.Buffer
}

var cause = store.Cause{Actor: store.Actor{Kind: store.ActorCLI, ID: "0"}, Request: "test"}

func newBox(t *testing.T) *box {
	t.Helper()
	return newBoxOver(t, nil, calibration())
}

// newBoxOver makes a box with this engine, or a fake one for nil.
func newBoxOver(t *testing.T, e verify.Engine, c *models.Calibration) *box {
	t.Helper()
	st, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	b := &box{T: t, store: st, engine: &fakeEngine{space: "one"}, real: e, calibration: c}
	b.merchant = b.newMerchant(store.MerchantPolicy{})
	b.start()
	return b
}

// start makes a new service over the same store.
func (b *box) start() {
	b.Helper()
	c := verify.Config{Store: b.store, Engine: b.engine, Calibration: b.calibration, Chance: sure, Log: slog.New(slog.NewTextHandler(&b.log, nil))}
	if b.real != nil {
		c.Engine = b.real
	}
	s, err := verify.New(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Service = s
	b.Cleanup(s.Close)
}

// sure makes a challenge that of every run: right, up, left.
func sure(int) int { return 0 }

func (b *box) newMerchant(p store.MerchantPolicy) store.MerchantID {
	b.Helper()
	m := store.Merchant{ID: store.NewID[store.MerchantID](time.Now()), Name: "test", Status: store.Active, Policy: p}
	put(b, &m)
	return m.ID
}

// person registers somebody, and enrols the face who unless it is 0.
func (b *box) person(who byte) store.PersonID {
	b.Helper()
	p := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: b.merchant, Status: store.PersonRegistered}
	put(b, &p)
	if who > 0 {
		if _, err := b.enrol(p.ID, of(who)); err != nil {
			b.Fatal(err)
		}
	}
	return p.ID
}

func (b *box) enrol(p store.PersonID, images ...image.Image) (verify.Enrolment, error) {
	return b.Enrol(b.Context(), verify.EnrolRequest{Cause: cause, Merchant: b.merchant, Person: p, Images: images, Source: "test"})
}

func (b *box) verify(p store.PersonID, img image.Image) (verify.Result, error) {
	return b.Verify(b.Context(), verify.VerifyRequest{Cause: cause, Merchant: b.merchant, Person: p, Image: img})
}

func (b *box) identify(img image.Image) (verify.Identification, error) {
	return b.Identify(b.Context(), verify.IdentifyRequest{Cause: cause, Merchant: b.merchant, Image: img})
}

func (b *box) update(fn func(*store.Tx) error) {
	b.Helper()
	if err := b.store.Update(b.Context(), cause, fn); err != nil {
		b.Fatal(err)
	}
}

func (b *box) view(fn func(*store.Tx) error) {
	b.Helper()
	if err := b.store.View(b.Context(), fn); err != nil {
		b.Fatal(err)
	}
}

func put[T any, ID ~string, P store.Record[T, ID]](b *box, rec P) {
	b.Helper()
	b.update(func(tx *store.Tx) error { return store.Put(tx, rec) })
}

func all[T any, P store.Listed[T]](b *box, ix store.Index[T], terms ...store.Term) (list []T) {
	b.Helper()
	b.view(func(tx *store.Tx) error {
		for rec, err := range store.All[T, P](tx, ix, terms...) {
			if err != nil {
				return err
			}
			list = append(list, rec)
		}
		return nil
	})
	return list
}

// events lists those of a kind, of the merchant.
func (b *box) events(kind store.EventKind) []store.Event {
	b.Helper()
	return all(b, store.EventsByMerchant, store.Plain(b.merchant), store.Plain(kind))
}

func wantError(t *testing.T, err, want error) *verify.Error {
	t.Helper()
	var e *verify.Error
	if !errors.Is(err, want) || !errors.As(err, &e) || e.Hint == "" {
		t.Fatalf("got %v, want %v with a hint", err, want)
	}
	return e
}
