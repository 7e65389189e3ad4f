package simtest

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seedsFlag = flag.String("sim.seeds", "", "run so many seeds, or those from A to B as A..B, each process its share, and print a line of counts")
	seedFlag  = flag.Uint64("sim.seed", 0, "run one seed and print its trace")
	breakFlag = flag.String("sim.break", "", "the promise that -sim.seed breaks on purpose")
	hardFlag  = flag.Bool("sim.hard", false, "fleets to which more happens")
	jobsFlag  = flag.Int("sim.jobs", 2, "processes at once for -sim.seeds")
	shareFlag = flag.String("sim.share", "", "A..B: what a process of -sim.seeds runs")
)

// TestSeed runs one seed and prints what happens.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("needs -sim.seed: make sim SEED=7")
	}
	r := Run(*seedFlag, Options{Log: os.Stdout, Break: Breakage(*breakFlag), Hard: *hardFlag})
	fmt.Printf("trace %016x, %+v\n", r.Trace, r.Counts)
	for _, v := range r.Violated {
		t.Error(v)
	}
}

// TestFleet runs as many seeds as are fast enough for everyday.
func TestFleet(t *testing.T) {
	var all Counts
	last := uint64(200)
	if testing.Short() {
		last = 30
	}
	for seed := uint64(1); seed <= last; seed++ {
		r := Run(seed, Options{})
		for _, v := range r.Violated {
			t.Errorf("seed %d: %s (make sim SEED=%d shows it)", seed, v, seed)
		}
		all.Add(r.Counts)
	}
	t.Logf("%+v", all)
	// What never happens is not tested.
	if !testing.Short() && (all.Crashes == 0 || all.Restores == 0 || all.Erasures == 0 || all.Clones == 0 || all.Conflicts == 0 || all.Snapshots == 0 || all.Holds == 0 || all.Thefts == 0) {
		t.Errorf("something never happened: %+v", all)
	}
}

// TestHardFleet is TestFleet with fleets to which more happens.
func TestHardFleet(t *testing.T) {
	last := uint64(100)
	if testing.Short() {
		last = 15
	}
	for seed := uint64(1); seed <= last; seed++ {
		for _, v := range Run(seed, Options{Hard: true}).Violated {
			t.Errorf("seed %d: %s (make sim SEED=%d HARD=1 shows it)", seed, v, seed)
		}
	}
}

// TestASeedIsOneRun: whoever replays a seed sees what happened.
func TestASeedIsOneRun(t *testing.T) {
	for seed := uint64(1); seed <= 15; seed++ {
		hard := seed%3 == 0
		first, again := Run(seed, Options{Hard: hard}), Run(seed, Options{Log: io.Discard, Hard: hard})
		if first.Trace != again.Trace || first.Counts != again.Counts {
			t.Errorf("seed %d: trace %016x with %+v, and %016x with %+v", seed, first.Trace, first.Counts, again.Trace, again.Counts)
		}
		if other := Run(seed+1000, Options{}); other.Trace == first.Trace {
			t.Errorf("seeds %d and %d are the same run", seed, seed+1000)
		}
	}
}

// TestEveryBreakageIsNoticed breaks each promise on purpose. With -v it prints the
// table of docs/sync.md.
func TestEveryBreakageIsNoticed(t *testing.T) {
	t.Logf("| broken | promise | how | noticed by | seed |")
	t.Logf("|---|---|---|---|---|")
	for _, b := range Breakages {
		if seed, how := notice(b.Name, 300); how == "" {
			t.Errorf("%s: 300 seeds have not noticed it", b.Name)
		} else {
			t.Logf("| `%s` | %d | %s | %s | %d |", b.Name, b.Promise, b.How, how, seed)
		}
	}
}

func notice(b Breakage, seeds uint64) (seed uint64, how string) {
	for seed = 1; seed <= seeds; seed++ {
		if r := Run(seed, Options{Break: b}); len(r.Violated) > 0 {
			how = ids24.ReplaceAllString(r.Violated[0], "…")
			if cut := strings.Index(how, ": {"); cut > 0 {
				how = how[:cut]
			}
			return seed, how[:min(len(how), 110)]
		}
	}
	return 0, ""
}

// TestSimulation runs the seeds that -sim.seeds asks for, in processes of their own.
func TestSimulation(t *testing.T) {
	if *seedsFlag == "" && *shareFlag == "" {
		t.Skip("needs -sim.seeds: make sim SEEDS=1000")
	}
	if *shareFlag != "" {
		share(t)
		return
	}
	from, to, err := parseSeeds(*seedsFlag)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var mu sync.Mutex // protects the following
	var all Counts
	bad := 0
	shares := make(chan [2]uint64)
	var wait sync.WaitGroup
	for range *jobsFlag {
		wait.Go(func() {
			for s := range shares {
				out, err := exec.Command(os.Args[0], "-test.run", "^TestSimulation$", "-sim.share", fmt.Sprintf("%d..%d", s[0], s[1]), fmt.Sprint("-sim.hard=", *hardFlag)).CombinedOutput()
				mu.Lock()
				n, c := read(string(out))
				if bad += n; err != nil && n == 0 {
					bad++
					fmt.Printf("seeds %d..%d: %v\n%s\n", s[0], s[1], err, out)
				}
				all.Add(c)
				mu.Unlock()
			}
		})
	}
	const each = 50
	for at := from; at <= to; at += each {
		shares <- [2]uint64{at, min(to, at+each-1)}
		if done := at - from; done%1000 == 0 && done > 0 {
			fmt.Printf("%d seeds, %d with violations\n", done, bad)
		}
	}
	close(shares)
	wait.Wait()
	fmt.Printf("%d seeds in %.0f s: %d violated; %s\n", to-from+1, time.Since(began).Seconds(), bad, all)
	if bad > 0 {
		t.Fail()
	}
}

// share runs seeds and prints what read reads.
func share(t *testing.T) {
	from, to, err := parseSeeds(*shareFlag)
	if err != nil {
		t.Fatal(err)
	}
	var all Counts
	for seed := from; seed <= to; seed++ {
		r := Run(seed, Options{Hard: *hardFlag})
		all.Add(r.Counts)
		if len(r.Violated) > 0 {
			fmt.Printf("seed %d: %s; make sim SEED=%d%s shows it\n", seed, strings.Join(r.Violated, "; "), seed, map[bool]string{true: " HARD=1"}[*hardFlag])
			t.Fail()
		}
	}
	fmt.Printf("counts %s\n", all)
}

// read passes violations on and returns how many there were, and the counts.
func read(out string) (bad int, c Counts) {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "seed ") {
			fmt.Print(line)
			bad++
		}
		if rest, ok := strings.CutPrefix(line, "counts "); ok {
			c = parseCounts(rest)
		}
	}
	return bad, c
}

func parseSeeds(s string) (from, to uint64, err error) {
	a, b, ranged := strings.Cut(s, "..")
	if !ranged {
		a, b = "1", s
	}
	if from, err = strconv.ParseUint(a, 10, 64); err == nil {
		to, err = strconv.ParseUint(b, 10, 64)
	}
	if err == nil && (from == 0 || to < from) {
		err = fmt.Errorf("seeds %q: want a number, or A..B with A from 1 on", s)
	}
	return from, to, err
}
