package main

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/accuracy"
	"github.com/cypherface/edge/internal/attack"
)

// padFolders is the outcome of eval-pad on folders.
type padFolders struct {
	Interval string     `json:"interval"`
	Live     *padFolder `json:"live,omitempty"`   // Errors are living people turned away
	Attack   *padFolder `json:"attack,omitempty"` // … attacks taken for life
}

// padFolder is one folder.
type padFolder struct {
	Sessions int            `json:"sessions"`
	Pictures int            `json:"pictures"` // that are in no session
	NoFace   int            `json:"no_face"`  // of both: nothing could be decided
	Errors   float64        `json:"errors"`   // share of the others
	Within   [2]float64     `json:"errors_interval"`
	Reasons  map[string]int `json:"reasons"` // why they were turned away
	// Pad are what networks for single pictures say, in rising order, of each session
	// or picture by itself; empty where none is installed.
	Pad []float64 `json:"pad,omitempty"`
}

func evalPadFolders(ctx context.Context, t *terminal, o *padOptions, asJSON bool) error {
	e, pack, networks, err := o.open(ctx, t)
	if err != nil {
		return err
	}
	defer networks.Close()
	same, err := likeness(&pack.Calibration)
	if err != nil {
		return err
	}
	report := padFolders{Interval: "Wilson, 95 %"}
	for _, f := range []struct {
		dir  string
		to   **padFolder
		live bool
	}{{o.live, &report.Live, true}, {o.attack, &report.Attack, false}} {
		if f.dir == "" {
			continue
		}
		if *f.to, err = evalPadFolder(ctx, t, e, calibrated(liveness.Default(), pack), same, f.dir, f.live); err != nil {
			return err
		}
	}
	if asJSON {
		return printJSON(t.out, report)
	}
	for _, f := range []struct {
		name string
		*padFolder
	}{{"living people turned away (BPCER)", report.Live}, {"attacks taken for life (APCER)", report.Attack}} {
		if f.padFolder != nil {
			fmt.Fprintf(t.out, "%s: %.1f %% (%.1f–%.1f %%) of %d sessions and %d pictures; %d without a face; reasons %v\n",
				f.name, 100*f.Errors, 100*f.Within[0], 100*f.Within[1], f.Sessions, f.Pictures, f.NoFace, f.Reasons)
			fmt.Fprint(t.out, padWords(f.Pad))
		}
	}
	return nil
}

// padWords says what the pack pad thinks of those whom it saw, nothing where it saw none.
func padWords(rising []float64) string {
	if len(rising) == 0 {
		return ""
	}
	words := fmt.Sprintf("  the pack pad holds them for an attack, of %d:", len(rising))
	for _, q := range []float64{.5, .75, .8, .9, .95, .99} {
		words += fmt.Sprintf(" %.0f %% below %.3f;", 100*q, rising[int(q*float64(len(rising)-1)+.5)])
	}
	return strings.TrimSuffix(words, ";") + "\n"
}

// evalPadFolder decides about the sessions and pictures of a folder.
func evalPadFolder(ctx context.Context, t *terminal, e *engine.Engine, m *liveness.Model, same liveness.Likeness, dir string, live bool) (*padFolder, error) {
	sessions, err := sessionsIn(dir)
	if err != nil {
		return nil, err
	}
	out := &padFolder{Reasons: map[string]int{}}
	p := newProgress(t.err, filepath.Base(dir))
	defer p.end()
	wrong, decided := 0, 0
	for i, names := range sessions {
		p.step(i, len(sessions))
		var frames []attack.Frame
		for k, n := range names {
			img, err := readPicture(n)
			if err != nil {
				return nil, err
			}
			frames = append(frames, attack.Frame{Image: img, At: time.Duration(k) * 300 * time.Millisecond})
		}
		v, seen, err := attack.Judge(ctx, e, m, same, frames, nil)
		if err != nil {
			return nil, err
		}
		alive := v.Live
		if len(names) == 1 {
			out.Pictures++
			alive = m.Score(&v.Measures, false) >= liveness.Threshold
			v.Reasons = []liveness.Reason{liveness.LowScore}
		} else {
			out.Sessions++
		}
		if seen == 0 {
			out.NoFace++
			continue
		}
		decided++
		if p := v.Measures[liveness.Picture]; !math.IsNaN(p) {
			out.Pad = append(out.Pad, p)
		}
		if alive != live {
			wrong++
		}
		if !alive {
			for _, r := range v.Reasons {
				out.Reasons[string(r)]++
			}
		}
	}
	slices.Sort(out.Pad)
	if decided > 0 {
		w := accuracy.Wilson(wrong, decided)
		out.Errors, out.Within = float64(wrong)/float64(decided), [2]float64{w.Low, w.High}
	}
	return out, nil
}

// sessionsIn lists the frames of each folder below dir that has some, and each
// picture of dir itself.
func sessionsIn(dir string) ([][]string, error) {
	folders := map[string][]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch strings.ToLower(filepath.Ext(p)) {
		case ".jpg", ".jpeg", ".png":
			folders[filepath.Dir(p)] = append(folders[filepath.Dir(p)], p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	var out [][]string
	for folder, names := range folders {
		slices.Sort(names)
		if filepath.Clean(folder) == filepath.Clean(dir) {
			for _, n := range names {
				out = append(out, []string{n})
			}
			continue
		}
		out = append(out, names)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("read %s: there is no JPEG or PNG in it: %w", dir, os.ErrNotExist)
	}
	slices.SortFunc(out, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return out, nil
}
