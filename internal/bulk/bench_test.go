//go:build cgo

package bulk_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/bulk"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// BenchmarkBulk enrols people from an archive into a sealed store, and then has the
// bare engine decode, detect and embed the same pictures on all cores: the metric
// share-of-engine is the throughput of the first as a share of the second.
func BenchmarkBulk(b *testing.B) {
	pack, err := models.Default("../../.deps/packs")
	if err != nil {
		b.Fatal(err)
	}
	e, networks, err := tflite.OpenEngine(pack, tflite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer networks.Close()
	pictures := noisy(b, max(b.N, 20))
	var files []file
	for i, raw := range pictures {
		files = append(files, file{fmt.Sprintf("p%05d.jpg", i), raw})
	}
	archive := archiveOf(b, files...)

	dir := b.TempDir()
	st, err := bolt.Open(filepath.Join(dir, "store.db"), bolt.Options{Environment: store.Sandbox, Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: dir})})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	m := store.Merchant{ID: store.NewID[store.MerchantID](time.Now()), Name: "bench", Status: store.Active}
	if err := st.Update(b.Context(), cause, func(tx *store.Tx) error { return store.Put(tx, &m) }); err != nil {
		b.Fatal(err)
	}
	s, err := verify.New(b.Context(), verify.Config{Store: st, Engine: e, Calibration: &pack.Calibration})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	q, err := bulk.Open(b.Context(), bulk.Config{Store: st, Enroller: s, Dir: filepath.Join(dir, "bulk")})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	go q.Run(ctx)

	b.ResetTimer()
	began := time.Now()
	job, err := q.Add(ctx, cause, bulk.Request{Merchant: m.ID}, bytes.NewReader(archive))
	if err != nil {
		b.Fatal(err)
	}
	for {
		p, err := q.Progress(ctx, m.ID, job.ID)
		if err != nil {
			b.Fatal(err)
		}
		if p.State != store.BulkRunning {
			if p.Enrolled != len(files) {
				b.Fatalf("%+v", p)
			}
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	took := time.Since(began)
	b.StopTimer()

	began = time.Now()
	var g errgroup.Group
	next := make(chan []byte)
	one := func(raw []byte) error {
		p, err := picture.Decode(raw, picture.Limits{})
		if err != nil {
			return err
		}
		faces, err := e.Detect(ctx, p.Image)
		if err != nil || len(faces) == 0 {
			return fmt.Errorf("%d faces, %v", len(faces), err)
		}
		_, err = e.Embed(ctx, p.Image, faces[0])
		return err
	}
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for raw := range next {
				if err := one(raw); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, raw := range pictures {
		next <- raw
	}
	close(next)
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	bare := time.Since(began)
	n := float64(len(files))
	b.ReportMetric(n/took.Seconds(), "people/s")
	b.ReportMetric(n/bare.Seconds(), "engine/s")
	b.ReportMetric(bare.Seconds()/took.Seconds(), "share-of-engine")
}

// noisy makes pictures of the golden faces, each another file.
func noisy(b *testing.B, n int) (all [][]byte) {
	mates, stranger, err := models.GoldenImages()
	if err != nil {
		b.Fatal(err)
	}
	faces := []image.Image{mates[0], mates[1], stranger}
	for i := range n {
		src := faces[i%len(faces)]
		img := image.NewRGBA(src.Bounds())
		r := rand.New(rand.NewPCG(uint64(i), 1))
		for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
			for x := img.Rect.Min.X; x < img.Rect.Max.X; x++ {
				img.Set(x, y, src.At(x, y))
				p := img.PixOffset(x, y)
				img.Pix[p] = uint8(min(int(img.Pix[p])+r.IntN(4), 255))
			}
		}
		raw, err := picture.EncodeJPEG(toYCbCr(img), 90)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, raw)
	}
	return all
}

func toYCbCr(img *image.RGBA) *image.YCbCr {
	out := image.NewYCbCr(img.Rect, image.YCbCrSubsampleRatio444)
	for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
		for x := img.Rect.Min.X; x < img.Rect.Max.X; x++ {
			yy, cb, cr := rgbAt(img, x, y)
			out.Y[out.YOffset(x, y)], out.Cb[out.COffset(x, y)], out.Cr[out.COffset(x, y)] = yy, cb, cr
		}
	}
	return out
}
