package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/cypherface/edge/camera/v4l2"
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/scan"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/models"
)

func benchCommand() command {
	return command{
		name: "bench", args: "[flags]",
		summary: "measure where the time of one frame goes, and the search",
		help: `Runs a rendered face through the whole chain, in raw camera frames of 640×480
and JPEG frames of 1280×720 by turns, and searches among 100,000 people.

Stages, in milliseconds: decode (a JPEG of 1280×720), letterbox (frame to the
detector's input), invoke (all networks of the chain), post-process (boxes,
overlaps, quality), align (landmarks and the cut-out, without its network),
embed (the embedder's share of invoke), search (100,000 people).

overhead is the time of a frame outside the networks as a share of the time in
them; search_100k the time of a search as a multiple of reading that memory
once. --reference measures with other conversions of landmarks and embedder.

--light shows rendered people in different light instead: as a webcam exposes by
itself, and as the box steers it by the face.

--cameras runs the workflow of a door for 1, 2 and 4 cameras at once, which share
the networks, and shows what each gets, how late it is, and what it costs.

  cypherface bench
  cypherface bench --json --frames 200
  cypherface bench --light
  cypherface bench --cameras --seconds 30
`,
		run: runBench,
	}
}

// benchReport is the answer of bench.
type benchReport struct {
	Pack     string               `json:"pack"`
	Networks string               `json:"networks"` // "reference" or "pack": what overhead is a share of
	CPU      int                  `json:"cpus"`
	Turbo    bool                 `json:"libjpeg_turbo"`
	Frames   int                  `json:"frames"` // of each kind
	Stages   map[string]quantiles `json:"stages"` // milliseconds
	Overhead map[string]float64   `json:"overhead"`
	Search   float64              `json:"search_100k"`
}

// quantiles of a series of durations, in milliseconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

// stages names the stages in their order.
var stages = []string{"decode", "letterbox", "invoke", "post-process", "align", "embed", "search"}

func runBench(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := benchCommand().flags(t)
	packs := addPackFlags(fs)
	frames := fs.Int("frames", 100, "frames of each kind")
	reference := fs.String("reference", "../shared/models/reference", "folder with reference conversions of the standard pack's networks; used where it exists")
	people := fs.Int("people", 100_000, "people to search among")
	light := fs.Bool("light", false, "show what steering the exposure by the face brings")
	cast := fs.Int("cast", len(synthface.Cast()), "rendered people for --light")
	cameras := fs.Bool("cameras", false, "show what 1, 2 and 4 cameras take")
	seconds := fs.Float64("seconds", 20, "length of each row of --cameras")
	rest, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 0 || *seconds <= 0 || *frames < 1 || *people < 1 || *cast < 1 || *cast > len(synthface.Cast()) {
		fs.Usage()
		return errUsage
	}
	if *cameras {
		return runBenchCameras(ctx, t, packs, *seconds, *asJSON)
	}
	if *light {
		return runBenchLight(ctx, t, packs, *cast, *asJSON)
	}
	pack, err := packs.pack(t)
	if err != nil {
		return err
	}
	b := bench{series: map[string][]time.Duration{}}
	opt := tflite.Options{Interpreters: 1, Wrap: b.wrap}
	r := benchReport{Pack: pack.Name, Networks: "pack", CPU: runtime.NumCPU(), Turbo: picture.Turbo(), Frames: *frames}
	others, err := b.reference(*reference, pack, &opt)
	if err != nil {
		return err
	}
	defer others.Close()
	if len(others) > 0 {
		r.Networks = "reference"
	}
	if err := tflite.ProbeOnce(ctx, "", pack); err != nil {
		return err
	}
	e, networks, err := tflite.OpenEngine(pack, opt)
	if err != nil {
		return err
	}
	defer networks.Close()
	if r.Overhead, err = b.frames(ctx, e, *frames, newProgress(t.err, "frame")); err != nil {
		return err
	}
	r.Search = b.search(e.Dim(), *people)
	r.Stages = map[string]quantiles{}
	for _, s := range stages {
		r.Stages[s] = summarise(b.series[s])
	}
	if *asJSON {
		return printJSON(t.out, r)
	}
	r.print(t.out)
	return nil
}

func (r benchReport) print(w io.Writer) {
	fmt.Fprintf(w, "pack %s, networks of the %s, libjpeg-turbo %v\n\n%-14s %9s %9s  ms\n", r.Pack, r.Networks, r.Turbo, "", "p50", "p95")
	for _, s := range stages {
		fmt.Fprintf(w, "%-14s %9.3f %9.3f\n", s, r.Stages[s].P50, r.Stages[s].P95)
	}
	fmt.Fprintf(w, "\noverhead      yuyv_640x480 %.3f  jpeg_1280x720 %.3f  of the networks' time\nsearch_100k   %.2f × reading the memory once\n",
		r.Overhead[rawFrames], r.Overhead[jpegFrames], r.Search)
}

// closers closes what was opened for a while.
type closers []io.Closer

func (c closers) Close() {
	for _, x := range c {
		x.Close()
	}
}

// referenceFiles are the files of a reference folder.
var referenceFiles = map[models.Role]string{
	models.Landmarks: "landmarks_regression_retail_0009_f32.tflite",
	models.Embed:     "face_reid_retail_0095_f32.tflite",
}

// reference puts the networks of a folder, where it exists, into an engine of
// the pack that they are conversions for.
func (b *bench) reference(dir string, pack *models.Pack, opt *tflite.Options) (closers, error) {
	if pack.Name != "standard" {
		return nil, nil
	}
	var open closers
	loaded := map[models.Role]engine.Model{}
	for role, name := range referenceFiles {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			open.Close()
			return nil, nil
		}
		if err != nil {
			open.Close()
			return nil, err
		}
		m, err := tflite.Load(f, tflite.Options{Interpreters: 1})
		f.Close()
		if err != nil {
			open.Close()
			return nil, fmt.Errorf("load %s: %w", name, err)
		}
		open, loaded[role] = append(open, m), b.wrap(role, m)
	}
	opt.Adjust = func(c *engine.Config) {
		c.Landmarks.Model, c.Embedder.Model = loaded[models.Landmarks], loaded[models.Embed]
	}
	return open, nil
}

// bench collects durations.
type bench struct {
	series map[string][]time.Duration
	frame  map[string]time.Duration // of the frame that runs, by stage
}

func (b *bench) wrap(role models.Role, m engine.Model) engine.Model { return timed{m, role, b} }

// timed is a network that reports what its parts took.
type timed struct {
	engine.Model
	role  models.Role
	bench *bench
}

// Run implements engine.Model.
func (m timed) Run(ctx context.Context, fill func([]float32), read func([][]float32)) error {
	var filled, answered, began time.Time
	var fills, reads time.Duration
	err := m.Model.Run(ctx,
		func(in []float32) {
			began = time.Now()
			fill(in)
			filled = time.Now()
			fills = filled.Sub(began)
		},
		func(out [][]float32) {
			answered = time.Now()
			read(out)
			reads = time.Since(answered)
		})
	into := m.bench.frame
	if err != nil || into == nil {
		return err
	}
	invoke := answered.Sub(filled)
	into["invoke"] += invoke
	switch m.role {
	case models.DetectFull, models.DetectShort:
		into["letterbox"] += fills
	case models.Embed:
		into["embed"] += invoke
		into["align"] += fills + reads
	default:
		into["align"] += fills + reads
	}
	return nil
}

// The kinds of frames.
const (
	rawFrames  = "yuyv_640x480"
	jpegFrames = "jpeg_1280x720"
)

// frames runs n frames of each kind through the chain, by turns, and returns
// the overheads.
func (b *bench) frames(ctx context.Context, e *engine.Engine, n int, p *progress) (map[string]float64, error) {
	raw := toYUYV(scene(640, 480))
	coded, err := picture.EncodeJPEG(scene(1280, 720), 80)
	if err != nil {
		return nil, err
	}
	var memory [2]*image.YCbCr
	kinds := []struct {
		name   string
		decode func() (*image.YCbCr, error)
	}{
		{rawFrames, func() (_ *image.YCbCr, err error) {
			memory[0], err = v4l2.Unpack(raw, 640, 480, memory[0])
			return memory[0], err
		}},
		{jpegFrames, func() (_ *image.YCbCr, err error) {
			memory[1], err = picture.DecodeJPEG(coded, memory[1], picture.Limits{})
			return memory[1], err
		}},
	}
	const warm = 5
	shares := map[string][]float64{}
	for i := range n + warm {
		p.step(i, n+warm)
		for _, k := range kinds {
			whole, err := b.one(ctx, e, k.decode)
			if err != nil {
				return nil, err
			}
			if i < warm {
				continue
			}
			f := b.frame
			shares[k.name] = append(shares[k.name], float64(whole-f["invoke"])/float64(f["invoke"]))
			f["post-process"] = whole - f["decode"] - f["letterbox"] - f["align"] - f["invoke"]
			for stage, d := range f {
				if stage != "decode" || k.name == jpegFrames {
					b.series[stage] = append(b.series[stage], d)
				}
			}
		}
	}
	p.end()
	overhead := map[string]float64{}
	for name, s := range shares {
		slices.Sort(s)
		overhead[name] = s[len(s)/2]
	}
	return overhead, nil
}

// one runs a frame through the chain and returns what that took.
func (b *bench) one(ctx context.Context, e *engine.Engine, decode func() (*image.YCbCr, error)) (time.Duration, error) {
	b.frame = map[string]time.Duration{}
	began := time.Now()
	img, err := decode()
	if err != nil {
		return 0, err
	}
	b.frame["decode"] = time.Since(began)
	faces, err := e.Detect(ctx, img)
	if err != nil {
		return 0, err
	}
	if len(faces) != 1 {
		return 0, fmt.Errorf("%d faces found in a frame that has one", len(faces))
	}
	if _, err := e.Embed(ctx, img, faces[0]); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// search measures the search among people and returns it as a multiple of
// reading the same memory.
func (b *bench) search(dim, people int) float64 {
	rng := rand.New(rand.NewPCG(1, 2))
	vector := func() engine.Template {
		t := make(engine.Template, dim)
		for i := range t {
			t[i] = float32(rng.NormFloat64())
		}
		return engine.Fuse(t)
	}
	gallery, rows := engine.NewGallery(dim), scan.NewRows(dim)
	for i := range people {
		t := vector()
		gallery.Add(fmt.Sprint(i), t)
		rows.Append(t)
	}
	var read []time.Duration
	for range 25 {
		probe := vector()
		began := time.Now()
		gallery.Search(probe, 10)
		b.series["search"] = append(b.series["search"], time.Since(began))
		began = time.Now()
		rows.Read()
		read = append(read, time.Since(began))
	}
	return summarise(b.series["search"]).P50 / summarise(read).P50
}

func summarise(d []time.Duration) quantiles {
	if len(d) == 0 {
		return quantiles{}
	}
	s := slices.Sorted(slices.Values(d))
	at := func(q float64) float64 { return float64(s[int(q*float64(len(s)-1)+0.5)].Microseconds()) / 1000 }
	return quantiles{at(0.50), at(0.95)}
}
