package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// camerasReport is the answer of bench --cameras.
type camerasReport struct {
	Pack    string       `json:"pack"`
	CPUs    int          `json:"cpus"`
	Go      string       `json:"go"`
	Date    string       `json:"date"`
	Seconds float64      `json:"seconds"` // of each row
	FPS     int          `json:"fps"`     // that each camera gives, at 640×480 as Motion JPEG
	Rows    []camerasRow `json:"rows"`
}

// camerasRow is what so many cameras took at once.
type camerasRow struct {
	Cameras   int       `json:"cameras"`
	Rate      []float64 `json:"framesPerSecond"` // worked off, of each camera
	Latency   quantiles `json:"latency"`         // from a frame's arrival until it is worked off, milliseconds
	CPU       float64   `json:"cpu"`             // of one core, all together: 1 is a core
	PerCamera float64   `json:"cpuPerCamera"`
	Decisions int       `json:"decisions"`
}

func runBenchCameras(ctx context.Context, t *terminal, packs packFlags, seconds float64, asJSON bool) (err error) {
	e, pack, networks, err := packs.open(ctx, t, tflite.Options{})
	if err != nil {
		return err
	}
	defer networks.Close()
	dir, err := os.MkdirTemp("", "cypherface-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := bolt.Open(filepath.Join(dir, "store.db"), bolt.Options{Environment: store.Sandbox})
	if err != nil {
		return err
	}
	defer s.Close()
	service, err := verify.New(ctx, verify.Config{Store: s, Engine: e, Calibration: &pack.Calibration})
	if err != nil {
		return err
	}
	defer service.Close()
	b := camerasBench{store: s, service: service, merchant: store.NewID[store.MerchantID](time.Now()), clip: filepath.Join(dir, "clip.mjpeg"),
		length: time.Duration(seconds * float64(time.Second)), fps: 15}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	r := camerasReport{Pack: pack.Name, CPUs: runtime.NumCPU(), Go: runtime.Version(), Date: time.Now().Format(time.DateOnly), Seconds: seconds, FPS: b.fps}
	p := newProgress(t.err, "cameras")
	for _, n := range []int{1, 2, 4} {
		p.step(n, 4)
		row, err := b.row(ctx, n)
		if err != nil {
			return err
		}
		r.Rows = append(r.Rows, row)
	}
	p.end()
	if asJSON {
		return printJSON(t.out, r)
	}
	r.print(t.out)
	return nil
}

// camerasBench runs the workflow of a door for several cameras at once, which share
// the networks.
type camerasBench struct {
	store    store.Store
	service  *verify.Service
	merchant store.MerchantID
	clip     string // a person who comes, looks and goes, as Motion JPEG
	length   time.Duration
	fps      int
}

// prepare draws the clip, and enrols the person in it.
func (b *camerasBench) prepare(ctx context.Context) error {
	person := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: b.merchant, Firstname: "Ada", Status: store.PersonRegistered}
	merchant := store.Merchant{ID: b.merchant, Name: "bench", Status: store.Active}
	cause := store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "bench"}}
	err := b.store.Update(ctx, cause, func(tx *store.Tx) error { return errors.Join(store.Put(tx, &merchant), store.Put(tx, &person)) })
	if err != nil {
		return err
	}
	who := synthface.Subject{Person: synthface.Cast()[0]}
	front := synthface.Render(synthface.Scene{}, who).Image
	if _, err := b.service.Enrol(ctx, verify.EnrolRequest{Cause: cause, Merchant: b.merchant, Person: person.ID, Images: []image.Image{front}, Source: "bench"}); err != nil {
		return err
	}
	var frames bytes.Buffer
	for _, act := range []synthface.Act{synthface.Enter, synthface.Look, synthface.Leave, synthface.Empty} {
		for shot := range synthface.Perform(who, act, synthface.Scene{Seed: rand.Int64()}, 5) {
			coded, err := picture.EncodeJPEG(shot.Image, 85)
			if err != nil {
				return err
			}
			frames.Write(coded)
		}
	}
	return os.WriteFile(b.clip, frames.Bytes(), 0o600)
}

// row runs n cameras.
func (b *camerasBench) row(ctx context.Context, n int) (camerasRow, error) {
	ctx, cancel := context.WithTimeout(ctx, b.length)
	defer cancel()
	readers := make([]*clockedReader, n)
	before, began := b.decisions(ctx), time.Now()
	used := cpuTime()
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		cam, err := camera.Open(ctx, fmt.Sprintf("file:%s?fps=%d", b.clip, b.fps), camera.Options{})
		if err != nil {
			return camerasRow{}, err
		}
		defer cam.Close()
		shared := camera.Share(cam)
		readers[i] = &clockedReader{Source: shared.Reader()}
		group.Go(func() { _ = shared.Run(ctx) }) // its error comes to the reader
		group.Go(func() { errs[i] = b.service.Run(ctx, readers[i], verify.DoorConfig{Merchant: b.merchant}) })
	}
	group.Wait()
	took := time.Since(began).Seconds()
	row := camerasRow{Cameras: n, CPU: (cpuTime() - used).Seconds() / took, Decisions: b.decisions(context.WithoutCancel(ctx)) - before}
	var all []time.Duration
	for i, r := range readers {
		if !errors.Is(errs[i], context.DeadlineExceeded) {
			return row, errs[i]
		}
		all = append(all, r.latency...)
		row.Rate = append(row.Rate, float64(len(r.latency))/took)
	}
	row.PerCamera, row.Latency = row.CPU/float64(n), summarise(all)
	return row, nil
}

func (b *camerasBench) decisions(ctx context.Context) (n int) {
	_ = b.store.View(ctx, func(tx *store.Tx) error { // a count that cannot be read is 0
		for _, err := range store.All(tx, store.EventsByMerchant, store.Plain(b.merchant), store.Plain(store.EventDecision)) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n
}

// clockedReader notes how old each frame is when it has been worked off.
type clockedReader struct {
	camera.Source
	last    time.Time // arrival of the frame that is worked on
	latency []time.Duration
}

// Next implements camera.Source.
func (r *clockedReader) Next(ctx context.Context) (camera.Frame, error) {
	if !r.last.IsZero() {
		r.latency = append(r.latency, time.Since(r.last))
	}
	f, err := r.Source.Next(ctx)
	r.last = f.Time
	return f, err
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (r camerasReport) print(w io.Writer) {
	fmt.Fprintf(w, "pack %s, %d cores, %s, %s; %.0f s each, cameras of 640×480 at %d frames a second as Motion JPEG\n\n", r.Pack, r.CPUs, r.Go, r.Date, r.Seconds, r.FPS)
	fmt.Fprintf(w, "%7s  %-23s %9s %9s %9s %11s %9s\n", "cameras", "frames/s worked off", "p50 ms", "p95 ms", "cores", "per camera", "decisions")
	for _, row := range r.Rows {
		least, most := slices.Min(row.Rate), slices.Max(row.Rate)
		fmt.Fprintf(w, "%7d  %5.1f each, %5.1f–%-5.1f %9.1f %9.1f %9.2f %11.2f %9d\n",
			row.Cameras, sum(row.Rate)/float64(row.Cameras), least, most, row.Latency.P50, row.Latency.P95, row.CPU, row.PerCamera, row.Decisions)
	}
}

func sum(v []float64) (total float64) {
	for _, x := range v {
		total += x
	}
	return total
}
