package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"slices"
	"time"

	"github.com/cypherface/edge/camera/v4l2"
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/models"
)

// lightReport is the answer of bench --light.
type lightReport struct {
	Pack      string     `json:"pack"`
	People    int        `json:"people"`
	Threshold float64    `json:"threshold"` // the score of FMR 1e-4
	Rows      []lightRow `json:"rows"`
}

// lightRow is what became of the shots in one light with one way of exposing.
type lightRow struct {
	Light   string         `json:"light"`
	Exposed string         `json:"exposed"` // "automatic" or "face"
	Shots   int            `json:"shots"`
	Found   float64        `json:"found"`  // share in which the face was found
	Usable  float64        `json:"usable"` // share with a face that is neither too dark nor too bright
	Score   float64        `json:"score"`  // mean cosine with the enrolled face, of those found
	Match   float64        `json:"match"`  // share that is usable and reaches the threshold
	Luma    float64        `json:"luma"`   // mean of the face, 0..1, of those found
	Reasons map[string]int `json:"reasons,omitempty"`
}

// lights are where the light comes from.
var lights = []struct {
	name  string
	light synthface.Light
}{
	{"front", synthface.Light{}},
	{"side, 70°", synthface.Light{Azimuth: 70, Elevation: 15, Key: 1.6, Ambient: .25}},
	{"side, 95°", synthface.Light{Azimuth: 95, Elevation: 10, Key: 2.5, Ambient: .15}},
	{"behind", synthface.Light{Azimuth: 180, Elevation: 20, Key: 6, Ambient: .12}},
	{"far behind", synthface.Light{Azimuth: 180, Elevation: 20, Key: 10, Ambient: .05}},
	{"dim room", synthface.Light{Azimuth: 20, Elevation: 40, Key: .05, Ambient: .03}},
}

func runBenchLight(ctx context.Context, t *terminal, packs packFlags, people int, asJSON bool) error {
	e, pack, networks, err := packs.open(ctx, t, tflite.Options{})
	if err != nil {
		return err
	}
	defer networks.Close()
	r, err := lightBench{e, &pack.Calibration, people}.run(ctx, newProgress(t.err, "person"))
	if err != nil {
		return err
	}
	if r.Pack = pack.Name; asJSON {
		return printJSON(t.out, r)
	}
	r.print(t.out)
	return nil
}

// lightBench looks at people in different light as a webcam exposes them by
// itself, and as it is steered by the face.
type lightBench struct {
	engine *engine.Engine
	cal    *models.Calibration
	people int
}

func (b lightBench) run(ctx context.Context, p *progress) (lightReport, error) {
	r := lightReport{People: b.people}
	r.Threshold, _ = b.cal.Threshold(1e-4)
	cast := synthface.Cast()[:b.people]
	for i, l := range lights {
		rows := []lightRow{{Light: l.name, Exposed: "automatic"}, {Light: l.name, Exposed: "face"}}
		for j, who := range cast {
			p.step(i*len(cast)+j, len(lights)*len(cast))
			if err := b.person(ctx, who, l.light, r.Threshold, rows); err != nil {
				return r, err
			}
		}
		for i := range rows {
			rows[i].mean()
		}
		r.Rows = append(r.Rows, rows...)
	}
	p.end()
	return r, nil
}

// person adds the shots of one person.
func (b lightBench) person(ctx context.Context, who *synthface.Person, light synthface.Light, threshold float64, rows []lightRow) error {
	plain := synthface.Capture(synthface.Scene{}, synthface.Subject{Person: who, Pose: synthface.Pose{Y: -1.5}})
	faces, enrolled, err := b.look(ctx, plain.Expose(1, 1, 1))
	if err != nil || len(faces) == 0 {
		return fmt.Errorf("enrol %s: %d faces, %w", who.Name, len(faces), err)
	}
	for i, yaw := range []float64{0, 12, -12} {
		n := synthface.Capture(synthface.Scene{Light: light, Room: int64(i)},
			synthface.Subject{Person: who, Pose: synthface.Pose{Yaw: yaw, Distance: 65, Y: -1}})
		autoTime, autoGain := n.Automatic()
		time, gain, err := b.steer(ctx, n, autoTime, autoGain)
		if err != nil {
			return err
		}
		for k, s := range [][2]float64{{autoTime, autoGain}, {time, gain}} {
			faces, probe, err := b.look(ctx, n.Expose(s[0], s[1], int64(i)))
			if err != nil {
				return err
			}
			rows[k].add(faces, engine.Compare(probe, enrolled), threshold)
		}
	}
	return nil
}

func (b lightBench) look(ctx context.Context, img *image.YCbCr) ([]engine.Face, engine.Template, error) {
	faces, err := b.engine.Detect(ctx, img)
	if err != nil || len(faces) == 0 {
		return nil, make(engine.Template, b.engine.Dim()), err
	}
	t, err := b.engine.Embed(ctx, img, faces[0])
	return faces, t, err
}

// Units of the steered camera: a usual time of 160, and a gain of 16 at 100.
const usualTime = 160

// steer lets the steering look at a negative until it is content, and returns
// the exposure that it ends with.
func (b lightBench) steer(ctx context.Context, n *synthface.Negative, autoTime, autoGain float64) (t, gain float64, err error) {
	s := v4l2.Steering{Time: v4l2.Range{Least: 3, Most: 2047, Step: 1}, Gain: v4l2.Range{Most: 100, Step: 1},
		At: v4l2.Setting{Auto: true, Time: int32(usualTime * autoTime), Gain: int32((autoGain - 1) / 15 * 100)}}
	t, gain = autoTime, autoGain
	for now, quiet := time.Unix(0, 0), 0; quiet < 5; now = now.Add(500 * time.Millisecond) {
		img := n.Expose(t, gain, now.Unix())
		faces, err := b.engine.Detect(ctx, img)
		if err != nil {
			return 0, 0, err
		}
		luma := 0.0
		if len(faces) > 0 {
			luma = faces[0].Quality.Brightness
		}
		quiet++
		if set, change := s.Step(now, luma); change {
			t, gain, quiet = float64(set.Time)/usualTime, 1+15*float64(set.Gain)/100, 0
		}
	}
	return t, gain, nil
}

func (r *lightRow) add(faces []engine.Face, score, threshold float64) {
	r.Shots++
	if len(faces) == 0 {
		return
	}
	q := faces[0].Quality
	r.Found++
	r.Score += score
	r.Luma += q.Brightness
	for _, reason := range q.Reasons {
		if r.Reasons == nil {
			r.Reasons = map[string]int{}
		}
		r.Reasons[string(reason)]++
	}
	if !slices.Contains(q.Reasons, engine.TooDark) && !slices.Contains(q.Reasons, engine.TooBright) {
		r.Usable++
		if score >= threshold {
			r.Match++
		}
	}
}

// mean turns sums into shares and means.
func (r *lightRow) mean() {
	r.Score, r.Luma = r.Score/max(r.Found, 1), r.Luma/max(r.Found, 1)
	n := max(float64(r.Shots), 1)
	r.Found, r.Usable, r.Match = r.Found/n, r.Usable/n, r.Match/n
}

func (r lightReport) print(w io.Writer) {
	fmt.Fprintf(w, "pack %s, %d people, 3 poses each; rendered, so nothing follows for error rates\n\n", r.Pack, r.People)
	fmt.Fprintf(w, "%-12s %-10s %6s %7s %7s %7s %7s\n", "light", "exposed by", "found", "usable", "score", "match", "luma")
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%-12s %-10s %5.0f%% %6.0f%% %7.3f %6.0f%% %7.2f\n", row.Light, row.Exposed, 100*row.Found, 100*row.Usable, row.Score, 100*row.Match, row.Luma)
	}
}
