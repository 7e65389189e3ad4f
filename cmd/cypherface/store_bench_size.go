package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// benchedSize is what a large store costs, in a process that has just started.
type benchedSize struct {
	People   int     `json:"people"`
	Events   uint64  `json:"events"`
	FileMiB  float64 `json:"file_mib"`
	OpenMS   float64 `json:"open_after_crash_ms"` // keyring included
	Gallery  float64 `json:"gallery_load_s"`
	RSSMiB   float64 `json:"rss_mib"`           // with the gallery loaded and given back
	PageMS   float64 `json:"page_by_cursor_ms"` // of 100 people, in the midst of them; the median
	Idle     latency `json:"decision_idle"`
	Compact  latency `json:"decision_compacting"`
	P99Ratio float64 `json:"p99_compacting_to_idle"`
	CompactS float64 `json:"compaction_s"` // one, on the average; 0: none came to its end
}

// latency is how long a committed decision event takes, in milliseconds.
type latency struct {
	Samples int     `json:"samples"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

func (b *benchedSize) print(w io.Writer) {
	fmt.Fprintf(w, `
%d people, %d events, %.0f MiB
  open after a crash   %8.1f ms
  load the gallery     %8.2f s
  memory (RSS)         %8.0f MiB
  page of 100          %8.2f ms
  decision, idle       %8.2f ms (p50), %.2f (p99), %d of them
  while compacting     %8.2f ms (p50), %.2f (p99), %d of them; p99 %.2f times
  a compaction         %8.1f s
`, b.People, b.Events, b.FileMiB, b.OpenMS, b.Gallery, b.RSSMiB, b.PageMS, b.Idle.P50, b.Idle.P99, b.Idle.Samples,
		b.Compact.P50, b.Compact.P99, b.Compact.Samples, b.P99Ratio, b.CompactS)
}

// benchAtSize makes a large store, has the process that writes to it killed, and
// measures in another.
func benchAtSize(ctx context.Context, t *terminal, dir string, people, events int) (*benchedSize, error) {
	if err := makeLarge(ctx, t, dir, people, events); err != nil {
		return nil, err
	}
	var killed *exec.ExitError
	_, err := benchSelf(ctx, "crash", dir)
	if !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		return nil, fmt.Errorf("the process was not killed: %w", err)
	}
	out, err := benchSelf(ctx, "measure", dir)
	if err != nil {
		return nil, err
	}
	r := &benchedSize{People: people}
	return r, json.Unmarshal(out, r)
}

// makeLarge fills a store, without making each step durable.
func makeLarge(ctx context.Context, t *terminal, dir string, people, events int) (err error) {
	s, err := openBench(dir, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p := newProgress(t.err, "making people")
	defer p.end()
	ids := make([]store.PersonID, people)
	if err := benchFill(ctx, s, ids, func(done int) { p.step(done, people) }); err != nil {
		return err
	}
	p.label = "making events"
	for made := 2 * people; made < events; made += 2000 {
		err := s.Update(ctx, benchCause, func(tx *store.Tx) error {
			for i := range 2000 {
				if _, err := store.Append(tx, decisionOf(ids[(made+i)%people]), nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		p.step(made, events)
	}
	return nil
}

func decisionOf(id store.PersonID) store.Event {
	return store.Event{
		Kind: store.EventDecision, Merchant: "m", Door: "0123456789abcdef01234567", Person: id, Action: "identify", Outcome: store.OutcomeMatch,
		Counters: map[string]float64{"similarity": 97.3, "threshold": 80, "gallery": 100000, "frames": 3},
	}
}

// benchSelf runs this program for a part of the measuring.
func benchSelf(ctx context.Context, part, dir string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "store", "bench", "--child", part, "--dir", dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, errs.String())
	}
	return out.Bytes(), nil
}

// benchChild is the other end of benchSelf.
func benchChild(ctx context.Context, t *terminal, part, dir string) error {
	start := time.Now()
	s, err := openBench(dir, true)
	if err != nil {
		return err
	}
	opened := time.Since(start)
	defer s.Close()
	if part == "crash" {
		for range 100 {
			if err := decide(ctx, s); err != nil {
				return err
			}
		}
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	r := &benchedSize{OpenMS: float64(opened.Microseconds()) / 1000}
	for _, measure := range []func(context.Context, *bolt.Store) error{r.load, r.list, r.decide} {
		if err := measure(ctx, s); err != nil {
			return err
		}
	}
	return printJSON(t.out, r)
}

// load loads the gallery, as a box does when it starts.
func (r *benchedSize) load(ctx context.Context, s *bolt.Store) error {
	start := time.Now()
	var vectors [][]float32
	err := s.View(ctx, func(tx *store.Tx) (err error) {
		for t, err := range store.All(tx, store.TemplatesBySpace, store.Plain("m"), store.Plain("x")) {
			if err != nil {
				return err
			}
			vectors = append(vectors, t.Vector)
		}
		r.Events, err = store.Head(tx)
		return err
	})
	r.Gallery, r.People = time.Since(start).Seconds(), len(vectors)
	if err := errors.Join(err, s.Relax()); err != nil {
		return err
	}
	used, free, _ := s.Room()
	r.FileMiB = mebi(used + free)
	r.RSSMiB, err = residentMiB()
	return err
}

// residentMiB is the memory of this process.
func residentMiB() (float64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	var size, resident float64
	if err == nil {
		_, err = fmt.Sscan(string(b), &size, &resident)
	}
	return resident * float64(os.Getpagesize()) / (1 << 20), err
}

// list turns pages of a listing from its middle on.
func (r *benchedSize) list(ctx context.Context, s *bolt.Store) error {
	const pages = 50
	var took []time.Duration
	q := store.Query[store.Person]{Prefix: []store.Term{store.Plain("m")}, Limit: 100, Skip: r.People / 2}
	for i := range pages + 1 {
		start := time.Now()
		err := s.View(ctx, func(tx *store.Tx) error {
			page, err := store.List(tx, store.PersonsByMerchant, q)
			q.Cursor, q.Skip = page.Next, 0
			return err
		})
		if err != nil {
			return err
		}
		if i > 0 {
			took = append(took, time.Since(start))
		}
		if q.Cursor == "" {
			break
		}
	}
	slices.Sort(took)
	r.PageMS = quantile(took, 0.5)
	return nil
}

func decide(ctx context.Context, s *bolt.Store) error {
	return s.Update(ctx, benchCause, func(tx *store.Tx) error {
		_, err := store.Append(tx, decisionOf("p"), nil)
		return err
	})
}

// Times of measuring decisions: one every so often, for so long at least, and until
// a compaction has come to its end, if that does not take too long.
const (
	decisionEvery = 5 * time.Millisecond
	decisionTime  = 10 * time.Second
	patience      = 2 * time.Minute
)

// decide measures decisions at rest and while the store is compacted.
func (r *benchedSize) decide(ctx context.Context, s *bolt.Store) (err error) {
	start := time.Now()
	if r.Idle, err = decisions(ctx, s, func() bool { return time.Since(start) > decisionTime }); err != nil {
		return err
	}
	during, stop := context.WithCancel(ctx)
	defer stop()
	var times atomic.Int64
	ended := make(chan error, 1)
	go func() {
		for {
			if err := s.Compact(during, nil); err != nil {
				ended <- err
				return
			}
			times.Add(1)
		}
	}()
	start = time.Now()
	r.Compact, err = decisions(ctx, s, func() bool {
		took := time.Since(start)
		return len(ended) > 0 || took > decisionTime && (times.Load() > 0 || took > patience)
	})
	if n := times.Load(); n > 0 {
		r.CompactS = time.Since(start).Seconds() / float64(n)
	}
	stop()
	if failed := <-ended; !errors.Is(failed, context.Canceled) {
		err = errors.Join(err, failed)
	}
	if r.Idle.P99 > 0 {
		r.P99Ratio = r.Compact.P99 / r.Idle.P99
	}
	return err
}

// decisions keeps one after the other, as the people at a few doors make them.
func decisions(ctx context.Context, s *bolt.Store, ended func() bool) (l latency, err error) {
	var took []time.Duration
	tick := time.NewTicker(decisionEvery)
	defer tick.Stop()
	for ; !ended(); <-tick.C {
		begin := time.Now()
		if err := decide(ctx, s); err != nil {
			return l, err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return latency{len(took), quantile(took, .5), quantile(took, .99), quantile(took, 1)}, nil
}
