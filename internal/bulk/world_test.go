package bulk_test

import (
	"archive/zip"
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// colours recognises people by the colour of their pictures; grey is nobody.
type colours struct {
	before func(n int64) // called before each face is embedded
	calls  atomic.Int64
}

func (*colours) Space() string { return "colours" }
func (*colours) Dim() int      { return 64 }

func (*colours) Detect(_ context.Context, img image.Image) ([]engine.Face, error) {
	r, g, b, _ := img.At(img.Bounds().Min.X, img.Bounds().Min.Y).RGBA()
	if d := max(r, g, b) - min(r, g, b); d < 0x2000 {
		return nil, nil
	}
	f := engine.Face{Box: engine.Rect{X1: 100, Y1: 100}, Score: 0.9}
	f.Landmarks[1] = engine.Point{X: 64}
	return []engine.Face{f}, nil
}

func (c *colours) Embed(_ context.Context, img image.Image, _ engine.Face) (engine.Template, error) {
	if n := c.calls.Add(1); c.before != nil {
		c.before(n)
	}
	r, g, b, _ := img.At(img.Bounds().Min.X, img.Bounds().Min.Y).RGBA()
	t := make(engine.Template, 64)
	t[r>>14<<4|g>>14<<2|b>>14] = 1
	return t, nil
}

func (*colours) Crop(img image.Image, _ engine.Face) engine.Crop {
	c := engine.Crop{Image: image.NewYCbCr(image.Rect(0, 0, engine.CropSize, engine.CropSize), image.YCbCrSubsampleRatio444)}
	y, cb, cr := color.RGBToYCbCr(rgb(img))
	for i := range c.Image.Y {
		c.Image.Y[i], c.Image.Cb[i], c.Image.Cr[i] = y, cb, cr
	}
	return c
}

func rgb(img image.Image) (r, g, b uint8) {
	c := color.RGBAModel.Convert(img.At(img.Bounds().Min.X, img.Bounds().Min.Y)).(color.RGBA)
	return c.R, c.G, c.B
}

func (*colours) Attack(context.Context, image.Image, engine.Face) (float64, error) {
	return math.NaN(), nil
}

func (c *colours) EmbedCrop(ctx context.Context, crop engine.Crop) (engine.Template, error) {
	return c.Embed(ctx, crop.Image, engine.Face{})
}

// box is a queue over a store of its own.
type box struct {
	*testing.T
	*bulk.Queue
	store    store.Store
	service  *verify.Service
	dir      string
	path     string
	engine   *colours
	merchant store.MerchantID
	stop     func()
	// change, when set before open, is called before each change of the queue; its
	// error is that of the change.
	change func(context.Context) error
}

// changes is a store whose changes may be held up.
type changes struct {
	store.Store
	before func(context.Context) error
}

func (c changes) Update(ctx context.Context, cause store.Cause, fn func(*store.Tx) error) error {
	if c.before != nil {
		if err := c.before(ctx); err != nil {
			return err
		}
	}
	return c.Store.Update(ctx, cause, fn)
}

var cause = store.Cause{Actor: store.Actor{Kind: store.ActorCLI, ID: "0"}, Request: "test"}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{T: t, dir: filepath.Join(t.TempDir(), "uploads"), path: filepath.Join(t.TempDir(), "store.db"), engine: &colours{}}
	b.open()
	m := store.Merchant{ID: store.NewID[store.MerchantID](time.Now()), Name: "test", Status: store.Active}
	b.update(func(tx *store.Tx) error { return store.Put(tx, &m) })
	b.merchant = m.ID
	return b
}

// open starts everything, over the same data.
func (b *box) open() {
	b.Helper()
	st, err := bolt.Open(b.path, bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	s, err := verify.New(b.Context(), verify.Config{Store: st, Engine: b.engine, Calibration: &models.Calibration{
		ImpostorPairs: 100_000_000, MatePairs: 1000, Points: []models.Point{{Score: 0.3, FMR: 1e-2}, {Score: 0.5, FMR: 1e-4}, {Score: 0.7, FMR: 1e-6}}}})
	if err != nil {
		b.Fatal(err)
	}
	q, err := bulk.Open(b.Context(), bulk.Config{Store: changes{st, b.change}, Enroller: s, Dir: b.dir, Workers: 3, MaxUpload: 8 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.store, b.service, b.Queue = st, s, q
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { q.Run(ctx) })
	b.stop = sync.OnceFunc(func() { cancel(); ended.Wait(); s.Close(); st.Close() })
	b.Cleanup(b.stop)
}

func (b *box) update(fn func(*store.Tx) error) {
	b.Helper()
	if err := b.store.Update(b.Context(), cause, fn); err != nil {
		b.Fatal(err)
	}
}

// add takes an archive in.
func (b *box) add(r bulk.Request, archive []byte) store.BulkID {
	b.Helper()
	r.Merchant = b.merchant
	job, err := b.Add(b.Context(), cause, r, bytes.NewReader(archive))
	if err != nil {
		b.Fatal(err)
	}
	return job.ID
}

// done waits for the end of a bulk enrolment.
func (b *box) done(id store.BulkID) bulk.Progress {
	b.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		p, err := b.Progress(b.Context(), b.merchant, id)
		if err != nil {
			b.Fatal(err)
		}
		if p.State != store.BulkRunning {
			return p
		}
		if time.Now().After(end) {
			b.Fatalf("it does not end: %+v", p)
		}
	}
}

// nothingLeft stops the queue, which removes an upload after it has told its end, and
// looks for what is on the disk.
func (b *box) nothingLeft() {
	b.Helper()
	b.stop()
	if files, _ := os.ReadDir(b.dir); len(files) != 0 {
		b.Errorf("left on the disk: %v", files)
	}
}

// items is the report, by number.
func (b *box) items(id store.BulkID) (all []store.BulkItem) {
	b.Helper()
	for i, err := range b.Report(b.Context(), b.merchant, id) {
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, i)
	}
	return all
}

// people lists who is in the store, by externalId or name.
func (b *box) people() map[string]store.Person {
	b.Helper()
	all := map[string]store.Person{}
	err := b.store.View(b.Context(), func(tx *store.Tx) error {
		for p, err := range store.All(tx, store.PersonsByMerchant, store.Plain(b.merchant)) {
			if err != nil {
				return err
			}
			name := p.ExternalID
			if name == "" {
				name = p.Firstname + " " + p.Lastname
			}
			if _, twice := all[name]; twice {
				b.Errorf("%s is there twice", name)
			}
			all[name] = p
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return all
}

// file is an entry of an archive.
type file struct {
	name string
	data []byte
}

func archiveOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		e, err := w.Create(f.name)
		if err == nil {
			_, err = e.Write(f.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// face is a picture of the nth colour of 60; note makes it another file.
func face(n, note int) []byte {
	var c color.RGBA
	for i := 0; ; i++ { // the nth that is not nearly grey
		c = color.RGBA{uint8(i%4*64 + 32), uint8(i/4%4*64 + 32), uint8(i/16%4*64 + 32), 255}
		if max(c.R, c.G, c.B)-min(c.R, c.G, c.B) >= 64 {
			if n--; n < 0 {
				break
			}
		}
	}
	return pictureOf(c, 16+note)
}

func pictureOf(c color.Color, size int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	draw.Draw(img, img.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

var nobody = pictureOf(color.Gray{128}, 16)

func rgbAt(img *image.RGBA, x, y int) (yy, cb, cr uint8) {
	c := img.RGBAAt(x, y)
	return color.RGBToYCbCr(c.R, c.G, c.B)
}
