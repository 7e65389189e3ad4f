package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

func storeBenchCommand() command {
	return command{
		name: "store bench", args: "[flags]",
		summary: "measure what keeping things durably costs",
		help: `Makes stores in a folder of their own, and measures how many changes a second are
kept durably: sealed, each with its event in the journal and its tree, by 1, 16 and
64 writers. By turns with it, bare bbolt gets as many puts of the same size, from a
loop that commits what waits in groups as the store does; ratio_to_bbolt is the one
to the other.

--people makes a store of so many, with a template each, and of --events decisions
in all. It kills the process that has it open, and measures in a new one: opening
it, its memory, loading the gallery, a page of a listing, and how long a decision
takes to be kept, at rest and while the store is compacted.

The folder should be on the disk that is meant: --dir.

  cypherface store bench --json
  cypherface store bench --people 100000 --events 1000000
`,
		run: runStoreBench,
	}
}

// storeBench is the answer of store bench.
type storeBench struct {
	CPUs    int             `json:"cpus"`
	Puts    int             `json:"puts"`  // of one change
	Bytes   int             `json:"bytes"` // keys and values of these
	Changes []benchedWriter `json:"changes"`
	Ratio   map[int]float64 `json:"ratio_to_bbolt"` // by writers
	AtSize  *benchedSize    `json:"at_size,omitempty"`
}

type benchedWriter struct {
	Writers int     `json:"writers"`
	Store   float64 `json:"store"` // changes/s
	Bbolt   float64 `json:"bbolt"` // the same puts, changes/s
	Ratio   float64 `json:"ratio_to_bbolt"`
}

const benchRounds = 4

func runStoreBench(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := storeBenchCommand().flags(t)
	dir := fs.String("dir", ".", "`folder` on the disk to measure")
	slice := fs.Duration("time", 8*time.Second, "how long each number of writers is measured")
	people := fs.Int("people", 0, "measure at size, with so many people")
	events := fs.Int("events", 0, "and so many events")
	child := fs.String("child", "", "for the command's own use")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(words) > 0 || *slice < 0 || *people < 0 || *events < 0 {
		fs.Usage()
		return errUsage
	}
	if *child != "" {
		return benchChild(ctx, t, *child, *dir)
	}
	home, err := os.MkdirTemp(*dir, "cypherface-bench-")
	if err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	defer os.RemoveAll(home)
	r := storeBench{CPUs: runtime.NumCPU(), Ratio: map[int]float64{}}
	if err := r.writers(ctx, t, home, *slice); err != nil {
		return fmt.Errorf("measure writers: %w", err)
	}
	if *people > 0 {
		if r.AtSize, err = benchAtSize(ctx, t, filepath.Join(home, "large"), *people, *events); err != nil {
			return fmt.Errorf("measure at size: %w", err)
		}
	}
	if *asJSON {
		return printJSON(t.out, r)
	}
	printStoreBench(t.out, &r)
	return nil
}

func printStoreBench(w io.Writer, r *storeBench) {
	fmt.Fprintf(w, "durable changes a second, of %d puts and %d bytes each, on %d cores\n\n", r.Puts, r.Bytes, r.CPUs)
	fmt.Fprintf(w, "%8s %10s %10s %8s\n", "writers", "store", "bbolt", "ratio")
	for _, c := range r.Changes {
		fmt.Fprintf(w, "%8d %10.0f %10.0f %8.2f\n", c.Writers, c.Store, c.Bbolt, c.Ratio)
	}
	if r.AtSize != nil {
		r.AtSize.print(w)
	}
}

// benchPeople are in the store while writers are measured.
const benchPeople = 1000

var benchCause = store.Cause{Actor: store.Actor{Kind: store.ActorCLI, ID: "bench"}}

// writers measures the store and bare bbolt by turns.
func (r *storeBench) writers(ctx context.Context, t *terminal, home string, slice time.Duration) error {
	s, err := openBench(home, false)
	if err != nil {
		return err
	}
	defer s.Close()
	ids := make([]store.PersonID, benchPeople)
	if err := benchFill(ctx, s, ids, nil); err != nil {
		return err
	}
	db, err := bbolt.Open(filepath.Join(home, "bare.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, InitialMmapSize: 1 << 30})
	if err != nil {
		return err
	}
	defer db.Close()
	db.AllocSize = 4 << 20
	puts, err := changePuts(ctx, s, ids[0])
	if err != nil {
		return err
	}
	bare := newBareLoop(db, puts)
	defer bare.close()
	for _, p := range puts {
		r.Puts, r.Bytes = r.Puts+1, r.Bytes+p.key+p.value
	}
	if err := bare.fill(benchPeople); err != nil {
		return err
	}
	p := newProgress(t.err, "measuring")
	defer p.end()
	steps := 0
	for _, writers := range []int{1, 16, 64} {
		var done [2]int
		var took [2]time.Duration
		for range benchRounds {
			for i, change := range []func(w, n int) error{
				func(w, n int) error { return renamePerson(ctx, s, ids[(w+64*n)%benchPeople], n) },
				func(w, n int) error { return bare.change((w + 64*n) % benchPeople) },
			} {
				n, d, err := drive(writers, slice/(2*benchRounds), change)
				if err != nil {
					return err
				}
				done[i], took[i] = done[i]+n, took[i]+d
				steps++
				p.step(steps, 3*2*benchRounds)
			}
		}
		c := benchedWriter{Writers: writers, Store: float64(done[0]) / took[0].Seconds(), Bbolt: float64(done[1]) / took[1].Seconds()}
		c.Ratio = c.Store / c.Bbolt
		r.Changes, r.Ratio[writers] = append(r.Changes, c), c.Ratio
	}
	return nil
}

// drive has writers do changes for a while, and counts them.
func drive(writers int, d time.Duration, change func(w, n int) error) (done int, took time.Duration, err error) {
	start := time.Now()
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			n := 0
			var failed error
			for ; failed == nil && time.Since(start) < d; n++ {
				failed = change(w, n)
			}
			mu.Lock()
			defer mu.Unlock()
			done, err = done+n, errors.Join(err, failed)
		})
	}
	all.Wait()
	return done, time.Since(start), err
}

func openBench(dir string, exists bool) (*bolt.Store, error) {
	return bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{
		Environment: store.Sandbox, MustExist: exists, Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: dir}),
	})
}

// benchFill puts people, 500 in a transaction.
func benchFill(ctx context.Context, s *bolt.Store, ids []store.PersonID, step func(done int)) error {
	done := 0
	for part := range slices.Chunk(ids, 500) {
		err := s.Update(ctx, benchCause, func(tx *store.Tx) error {
			for i := range part {
				p := store.Person{
					ID: store.NewID[store.PersonID](tx.Time()), Merchant: "m", Firstname: "Ada", Lastname: "Lovelace",
					Email: fmt.Sprintf("ada%d@example.org", done+i), Status: store.PersonEnrolled,
				}
				t := store.Template{ID: store.NewTemplateID(p.ID, "x"), Merchant: "m", Person: p.ID, Space: "x", Crops: 1, Vector: make([]float32, 256)}
				if err := errors.Join(store.Put(tx, &p), store.Put(tx, &t)); err != nil {
					return err
				}
				part[i] = p.ID
			}
			return nil
		})
		if err != nil {
			return err
		}
		if done += len(part); step != nil {
			step(done)
		}
	}
	return nil
}

// renamePerson is one durable change: a record, its event, and what belongs to it.
func renamePerson(ctx context.Context, s *bolt.Store, id store.PersonID, n int) error {
	return s.Update(ctx, benchCause, func(tx *store.Tx) error {
		p, err := store.Get[store.Person](tx, id)
		if err != nil {
			return err
		}
		p.Firstname = fmt.Sprintf("Ada %d", n)
		return store.Put(tx, &p)
	})
}

// put is one of a change: how long key and value are, and where the key goes.
type put struct {
	bucket     string
	key, value int
	ascending  bool // the keys are those of a journal, else of a person
}

// changePuts finds out what renamePerson puts, by looking at what it has left.
func changePuts(ctx context.Context, s *bolt.Store, id store.PersonID) ([]put, error) {
	copied := filepath.Join(os.TempDir(), fmt.Sprintf("cypherface-bench-%d.db", os.Getpid()))
	if err := errors.Join(renamePerson(ctx, s, id, 0), s.Copy(ctx, copied)); err != nil {
		return nil, err
	}
	defer os.Remove(copied)
	db, err := bbolt.Open(copied, 0, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var puts []put
	err = db.View(func(tx *bbolt.Tx) error {
		last := func(bucket string, ascending bool) {
			k, v := tx.Bucket([]byte(bucket)).Cursor().Last()
			puts = append(puts, put{bucket, len(k), len(v), ascending})
		}
		last("record.person", false)
		last("record.event", true)
		last("index.events-merchant", true)
		last("index.events-person", false)
		head := tx.Bucket([]byte("meta")).Get([]byte("head"))
		puts = append(puts, put{"meta", len("head"), len(head), false})
		return nil
	})
	return puts, err
}

// bareLoop does puts in bbolt alone: one goroutine commits what waits together.
type bareLoop struct {
	db    *bbolt.DB
	puts  []put
	seq   uint64
	queue chan bareRequest
	ended chan struct{}
}

type bareRequest struct {
	person int
	done   chan error
}

func newBareLoop(db *bbolt.DB, puts []put) *bareLoop {
	l := &bareLoop{db: db, puts: puts, queue: make(chan bareRequest, 1024), ended: make(chan struct{})}
	go l.run()
	return l
}

func (l *bareLoop) close() {
	close(l.queue)
	<-l.ended
}

func (l *bareLoop) change(person int) error {
	r := bareRequest{person, make(chan error, 1)}
	l.queue <- r
	return <-r.done
}

// run is the writer, as that of store/bolt: it lets others run once before it finds
// that nobody waits.
func (l *bareLoop) run() {
	defer close(l.ended)
	for first := range l.queue {
		var group []bareRequest
		err := l.db.Update(func(tx *bbolt.Tx) error {
			for r, more := first, true; more && len(group) < 256; r, more = l.next() {
				group = append(group, r)
				if err := l.put(tx, r.person); err != nil {
					return err
				}
			}
			return nil
		})
		for _, r := range group {
			r.done <- err
		}
	}
}

func (l *bareLoop) next() (bareRequest, bool) {
	if len(l.queue) == 0 {
		runtime.Gosched()
	}
	select {
	case r, ok := <-l.queue:
		return r, ok
	default:
		return bareRequest{}, false
	}
}

func (l *bareLoop) put(tx *bbolt.Tx, person int) error {
	l.seq++
	for _, p := range l.puts {
		b, err := tx.CreateBucketIfNotExists([]byte(p.bucket))
		if err != nil {
			return err
		}
		key := make([]byte, max(p.key, 16))
		switch {
		case p.ascending:
			b.FillPercent = 0.9
			binary.BigEndian.PutUint64(key[len(key)-8:], l.seq)
		case p.bucket != "meta":
			binary.BigEndian.PutUint64(key, uint64(person)*0x9e3779b97f4a7c15) // anywhere, as random ids are
			if p.bucket != "record.person" {
				binary.BigEndian.PutUint64(key[len(key)-8:], l.seq)
			}
		}
		value := make([]byte, p.value)
		binary.BigEndian.PutUint64(value[max(0, len(value)-8):][:min(8, len(value))][:8], l.seq)
		if err := b.Put(key, value); err != nil {
			return err
		}
	}
	return nil
}

// fill puts as many people as the store has.
func (l *bareLoop) fill(people int) error {
	return l.db.Update(func(tx *bbolt.Tx) error {
		for i := range people {
			if err := l.put(tx, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// quantile of sorted durations, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := min(len(sorted)-1, int(math.Ceil(q*float64(len(sorted))))-1)
	return float64(sorted[max(0, i)].Microseconds()) / 1000
}
