package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
	"github.com/cypherface/edge/sync/host"
	"github.com/cypherface/edge/sync/hub"
)

const benchHelp = `usage: cypherface-central bench [flags]

Measures in one run, on sealed stores in a temporary folder: how many events a second
boxes that are connected by real websockets have accepted durably, beside what the
bare store takes of the same in full batches; how long a fresh box takes to get all
people, beside what the bare store takes to write them; how boxes come back that were
all cut off at once; and how large a store grows by records that were deleted, of which
it keeps the ids for ever.

  cypherface-central bench --json
  cypherface-central bench --boxes 1,100 --people 20000 --storm 1000

flags:
`

// benchSettings are what can be set.
type benchSettings struct {
	boxes     []int
	events    int
	rounds    int
	people    int
	storm     int
	deletions int
	dir       string
}

// benchResult is what was measured.
type benchResult struct {
	Machine string        `json:"machine"`
	Date    string        `json:"date"`
	Batch   int           `json:"eventsInABatch"`
	Ingest  []ingestPoint `json:"ingest"`
	Catchup catchupPoint  `json:"catchUp"`
	Storm   stormPoint    `json:"reconnect"`
	Deleted deletedPoint  `json:"deleted"`
}

// ingestPoint is the rate of events with a number of boxes, in the round whose ratio is
// the median: in each, the two rates are measured one after the other.
type ingestPoint struct {
	Boxes  int     `json:"boxes"`
	Events int     `json:"events"`
	Rate   float64 `json:"eventsPerSecond"`
	Bare   float64 `json:"bareStore"`
	Ratio  float64 `json:"ratio"`
	CPU    float64 `json:"cpuMicroseconds"`     // of the processor for an event, boxes included
	BareC  float64 `json:"bareCpuMicroseconds"` // and of the bare store
	Rounds int     `json:"rounds"`
	Least  float64 `json:"leastRatio"` // of all rounds
	Most   float64 `json:"mostRatio"`
}

// catchupPoint is how a fresh box gets everybody: people with a template of 128
// numbers each.
type catchupPoint struct {
	People  int     `json:"people"`
	Seconds float64 `json:"seconds"`
	Bare    float64 `json:"bareStoreSeconds"`
	Ratio   float64 `json:"ratio"`
}

// stormPoint is how boxes come back that were cut off at once.
type stormPoint struct {
	Boxes   int     `json:"boxes"`
	Seconds float64 `json:"seconds"`        // until all were served again
	Rate    float64 `json:"admittedAtMost"` // boxes that may be admitted a second
	Peak    int     `json:"peakPerSecond"`  // and how many were served in the busiest second
}

// deletedPoint is what stays of records that were deleted.
type deletedPoint struct {
	Deletions int   `json:"deletions"`
	Bytes     int64 `json:"bytes"` // of pages
}

func bench(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.Usage = func() { fmt.Fprint(out, benchHelp); fs.PrintDefaults() }
	boxes := fs.String("boxes", "1,100,1000", "`numbers` of connected boxes, with commas")
	set := benchSettings{}
	fs.IntVar(&set.events, "events", 200_000, "`events` for each number of boxes")
	fs.IntVar(&set.rounds, "rounds", 3, "how often each is measured; the median counts")
	fs.IntVar(&set.people, "people", 100_000, "`people` of the catch-up")
	fs.IntVar(&set.storm, "storm", 2000, "`boxes` that come back at once")
	fs.IntVar(&set.deletions, "deletions", 100_000, "`records` that were deleted")
	asJSON := fs.Bool("json", false, "print the result as JSON")
	if _, err := parse(fs, args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return errUsage
	}
	for _, word := range strings.Split(*boxes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 || n > 20_000 {
			return fmt.Errorf("bench: %q is no number of boxes", word)
		}
		set.boxes = append(set.boxes, n)
	}
	var err error
	if set.dir, err = os.MkdirTemp("", "central-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(set.dir)
	raiseFiles()
	result, err := set.run(ctx)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if *asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(result)
	}
	return result.print(out)
}

func (r *benchResult) print(out io.Writer) error {
	fmt.Fprintf(out, "%s, %s\n\n", r.Machine, r.Date)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "BOXES\tEVENTS/S\tBARE STORE\tRATIO\tOF ROUNDS\tCPU OF AN EVENT\n")
	for _, p := range r.Ingest {
		fmt.Fprintf(w, "%d\t%.0f\t%.0f\t%.2f\t%d: %.2f to %.2f\t%.0f µs, bare %.0f µs\n", p.Boxes, p.Rate, p.Bare, p.Ratio, p.Rounds, p.Least, p.Most, p.CPU, p.BareC)
	}
	fmt.Fprintf(w, "\ncatch-up of %d people\t%.1f s\tbare %.1f s\t%.2f\n", r.Catchup.People, r.Catchup.Seconds, r.Catchup.Bare, r.Catchup.Ratio)
	fmt.Fprintf(w, "%d boxes cut off\tserved again after %.1f s\tat most %d in a second\n", r.Storm.Boxes, r.Storm.Seconds, r.Storm.Peak)
	fmt.Fprintf(w, "%d records deleted\t%.1f MB stay\n", r.Deleted.Deletions, float64(r.Deleted.Bytes)/1e6)
	return w.Flush()
}

// raiseFiles lets the process hold as many connections as it may.
func raiseFiles() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // fewer boxes then
	}
}

// processor is how long the processor has worked for this process.
func processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// batchEvents is how many events boxes and the bare store put into one transaction.
const batchEvents = 256

func (s *benchSettings) run(ctx context.Context) (*benchResult, error) {
	r := &benchResult{
		Machine: fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH),
		Date:    time.Now().UTC().Format("2006-01-02"), Batch: batchEvents,
	}
	for _, n := range s.boxes {
		var rounds []ingestPoint
		for range max(1, s.rounds) {
			p, err := s.ingest(ctx, n)
			if err != nil {
				return nil, fmt.Errorf("%d boxes: %w", n, err)
			}
			rounds = append(rounds, p)
		}
		slices.SortFunc(rounds, func(a, b ingestPoint) int { return cmp.Compare(a.Ratio, b.Ratio) })
		p := rounds[len(rounds)/2]
		p.Rounds, p.Least, p.Most = len(rounds), rounds[0].Ratio, rounds[len(rounds)-1].Ratio
		r.Ingest = append(r.Ingest, p)
	}
	var err error
	if r.Catchup, err = s.catchUp(ctx); err != nil {
		return nil, fmt.Errorf("catch-up: %w", err)
	}
	if r.Storm, err = s.reconnect(ctx); err != nil {
		return nil, fmt.Errorf("reconnect: %w", err)
	}
	if r.Deleted, err = s.forget(ctx); err != nil {
		return nil, fmt.Errorf("deletions: %w", err)
	}
	return r, nil
}

var benchCause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "bench"}}

// openStore opens a new sealed store.
func (s *benchSettings) openStore(name string) (*bolt.Store, error) {
	dir, err := os.MkdirTemp(s.dir, name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, string(store.Sandbox)), 0o700); err != nil {
		return nil, err
	}
	master, err := seal.ParseMaster("")
	if err != nil {
		return nil, err
	}
	master.Dir = dir
	return bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{Environment: store.Sandbox, Keyring: func() (store.Keyring, error) {
		key, err := seal.FindMaster(master)
		if err != nil {
			return nil, err
		}
		return seal.Open(seal.Path(dir, store.Sandbox), key, seal.Options{})
	}})
}

// centralBench is a central with its listener.
type centralBench struct {
	store    *bolt.Store
	central  *host.Central
	server   *http.Server
	address  string
	merchant store.MerchantID
	site     store.SiteID
	end      func()
}

// openCentral starts a central with one shared site that admits rate boxes a second
// and at once. They name themselves in
// a header: keys are the API's affair.
func (s *benchSettings) openCentral(ctx context.Context, name string, rate float64) (*centralBench, error) {
	st, err := s.openStore(name)
	if err != nil {
		return nil, err
	}
	c := &centralBench{store: st, merchant: store.NewID[store.MerchantID](time.Now()), site: store.NewID[store.SiteID](time.Now())}
	err = st.Update(ctx, benchCause, func(tx *store.Tx) error {
		return errors.Join(
			store.Put(tx, &store.Merchant{ID: c.merchant, Status: store.Active}),
			store.Put(tx, &store.Site{ID: c.site, Merchant: c.merchant, Name: "bench"}), store.Share(tx, c.site))
	})
	if err != nil {
		return nil, err
	}
	c.central = host.NewCentral(host.CentralConfig{Store: st, Hub: hub.Config{Rate: rate}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.address = l.Addr().String()
	c.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = c.central.Serve(w, r, store.DeviceID(r.Header.Get("Device"))) // a handshake that failed is the box's to notice
	})}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { _ = c.central.Run(ctx) }) // ends with ctx
	work.Go(func() { _ = c.server.Serve(l) })  // the same
	c.end = func() {
		cancel()
		c.server.Close()
		work.Wait()
		st.Close()
	}
	return c, nil
}

// register makes the records of boxes.
func (c *centralBench) register(ctx context.Context, n int) ([]store.DeviceID, error) {
	ids := make([]store.DeviceID, n)
	err := c.store.Update(ctx, benchCause, func(tx *store.Tx) error {
		for i := range ids {
			ids[i] = store.NewUUID[store.DeviceID]()
			if err := store.Put(tx, &store.Device{ID: ids[i], Merchant: c.merchant, Site: c.site, Status: store.Active}); err != nil {
				return err
			}
		}
		return nil
	})
	return ids, err
}
