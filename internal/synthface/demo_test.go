package synthface

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// shade is the brightness of the clips that stand for an act in these tests.
func shade(a Act) uint8 { return uint8(20 + 20*int(a)) }

// stocked is a cache with a clip for each act of the people in the query, so
// that nothing has to be rendered.
func stocked(t *testing.T, query string, acts ...Act) string {
	t.Helper()
	set := mustParse(t, query)
	c := newCache(t)
	store := func(k clipKey) {
		if err := c.store(k, tinyClip(t, k.act.frames(k.fps), shade(k.act))); err != nil {
			t.Fatal(err)
		}
	}
	store(set.key(nil, Empty))
	for _, p := range set.cast {
		for _, a := range acts {
			store(set.key(p, a))
		}
	}
	return c.dir
}

func mustParse(t *testing.T, query string) settings {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	set, err := parseQuery(q)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func open(t *testing.T, dir, query string, opt DemoOptions) *Demo {
	t.Helper()
	q, _ := url.ParseQuery(query)
	d, err := OpenDemo(t.Context(), dir, q, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// watch fetches n frames and says which acts were seen, without repetitions.
func watch(t *testing.T, d *Demo, n int) []Act {
	t.Helper()
	var acts []Act
	for range n {
		f, err := d.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a := Act((int(f.Image.Y[0]) - 20 + 10) / 20)
		if len(acts) == 0 || acts[len(acts)-1] != a {
			acts = append(acts, a)
		}
	}
	return acts
}

const quick = "size=64x48&fps=5"

func TestDemoPlaysVisits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, stocked(t, quick, visit...), quick, DemoOptions{})
		got := watch(t, d, 140)
		want := []Act{Look, Turn, Look, Leave, Empty, Enter, Look, Turn, Look, Leave, Empty, Enter}
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("played %v, want %v", got, want)
			}
		}
	})
}

func TestDemoPacesFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, stocked(t, quick, visit...), quick, DemoOptions{})
		start := time.Now()
		for i := range 20 {
			f, err := d.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			due := time.Duration(i) * 200 * time.Millisecond
			if got := time.Since(start); got != due || !f.Time.Equal(start.Add(due)) {
				t.Fatalf("frame %d at %v, due at %v", i, got, due)
			}
			if f.Seq != uint64(i+1) || f.Dropped != 0 {
				t.Fatalf("frame %d: seq %d, dropped %d", i, f.Seq, f.Dropped)
			}
		}
	})
}

func TestDemoDropsWhatNobodyFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, stocked(t, quick, visit...), quick, DemoOptions{})
		watch(t, d, 1)
		time.Sleep(3*time.Second + 10*time.Millisecond) // frames 1 to 14 pass, 15 is the newest
		f, err := d.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f.Dropped != 14 || f.Seq != 2 {
			t.Errorf("dropped %d, seq %d", f.Dropped, f.Seq)
		}
		// The performance went on meanwhile: Look has 12 frames.
		if a := Act((int(f.Image.Y[0]) - 20 + 10) / 20); a != Turn {
			t.Errorf("still plays %v", a)
		}
		if f, err = d.Next(t.Context()); err != nil || f.Dropped != 14 {
			t.Errorf("then dropped %d, %v", f.Dropped, err)
		}
	})
}

func TestDemoAnswersChallenges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, stocked(t, quick, append(visit, Blink, OpenMouth)...), quick, DemoOptions{})
		watch(t, d, 3)
		if err := d.Ask(OpenMouth); err != nil {
			t.Fatal(err)
		}
		if err := d.Ask(Blink); err != nil { // replaces the other
			t.Fatal(err)
		}
		got := watch(t, d, 40)
		if len(got) < 3 || got[0] != Look || got[1] != Blink || got[2] != Turn {
			t.Errorf("played %v", got)
		}
		for _, a := range []Act{Empty, Enter, Look, Leave, Act(77), Act(-1)} {
			if d.Ask(a) == nil {
				t.Errorf("%v is taken for an answer", a)
			}
		}
	})
}

func TestDemoRendersWhatIsAskedForTheFirstTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const query = "person=1&size=64x48&fps=1"
		dir := stocked(t, query, visit...)
		d := open(t, dir, query, DemoOptions{})
		if err := d.Ask(Nod); err != nil {
			t.Fatal(err)
		}
		watch(t, d, 4) // Look ends, Nod is missed, Look goes on
		synctest.Wait()
		set := mustParse(t, query)
		if !d.cache.cached(set.key(set.cast[0], Nod)) {
			t.Fatal("the answer was not rendered")
		}
		watch(t, d, 6)
		if d.pending() != Empty {
			t.Error("the answer was not played")
		}
	})
}

func TestDemoShowsTheEmptyHallwayMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const query = "person=1&size=64x48&fps=1"
		ready := atomic.Int64{}
		d := open(t, stocked(t, query), query, DemoOptions{Progress: func(n, total int) {
			if total != 4 {
				t.Errorf("%d clips in all", total)
			}
			ready.Store(int64(n))
		}})
		if got := watch(t, d, 1); got[0] != Empty {
			t.Fatalf("played %v", got)
		}
		synctest.Wait() // until everything is rendered
		if ready.Load() != 4 {
			t.Fatalf("%d of 4 clips are ready", ready.Load())
		}
		empty := 0
		for range 10 {
			f, err := d.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f.Image.Y[0] == shade(Empty) {
				empty++
			}
		}
		if empty > 2 {
			t.Errorf("the hallway stayed empty for %d frames after the clips were there", empty)
		}
	})
}

func TestDemoMendsDamagedClips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const query = "person=1&size=64x48&fps=1"
		dir := stocked(t, query, visit...)
		d := open(t, dir, query, DemoOptions{})
		synctest.Wait()
		set := mustParse(t, query)
		file := filepath.Join(dir, set.key(set.cast[0], Leave).file())
		if err := os.WriteFile(file, []byte("damaged"), 0o644); err != nil {
			t.Fatal(err)
		}
		watch(t, d, 20) // reaches Leave, finds it damaged, lingers
		synctest.Wait()
		c := &clipCache{dir: dir}
		if _, err := c.load(set.key(set.cast[0], Leave)); err != nil {
			t.Errorf("the clip was not rendered again: %v", err)
		}
	})
}

func TestDemoCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, stocked(t, quick, visit...), quick, DemoOptions{})
		watch(t, d, 2)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		go func() {
			time.Sleep(50 * time.Millisecond)
			d.Close()
		}()
		for range 3 { // the second waits while the camera is closed
			if _, err := d.Next(t.Context()); err != nil {
				if !errors.Is(err, ErrClosed) {
					t.Errorf("closed: %v", err)
				}
				return
			}
		}
		t.Error("frames after Close")
	})
}

func TestDemoClosesWhileRendering(t *testing.T) {
	dir := t.TempDir()
	q := url.Values{"person": {"1"}, "size": {"64x48"}}
	d, err := OpenDemo(t.Context(), dir, q, DemoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := d.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("next after close: %v", err)
	}
}

func TestDemoQuery(t *testing.T) {
	for _, good := range []string{"", "person=1", "person=ada", "fps=30", "size=1920x1080", "room=4", "attack=print", "attack=bent", "attack=screen"} {
		mustParse(t, good)
	}
	if set := mustParse(t, "person=2"); len(set.cast) != 1 || set.cast[0].Name != Cast()[1].Name {
		t.Errorf("person=2 is %v", set.cast)
	}
	for _, bad := range []string{"person=0", "person=nobody", "person=", "fps=0", "fps=31", "fps=x", "size=640", "size=64x", "size=63x48", "size=9999x48", "room=x", "attack=axe", "attack=", "colour=1"} {
		q, _ := url.ParseQuery(bad)
		if _, err := OpenDemo(t.Context(), t.TempDir(), q, DemoOptions{}); !errors.Is(err, ErrQuery) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzDemoQuery(f *testing.F) {
	f.Add("person=1&fps=10")
	f.Add("size=640x480&room=-3")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		set, err := parseQuery(q)
		if err == nil && (set.fps < 1 || set.fps > 30 || set.width < 64 || set.width > 1920 || set.height < 48 || set.height > 1440 || len(set.cast) == 0) {
			t.Errorf("%q gives %+v", raw, set)
		}
	})
}
