package simtest

import (
	"flag"
	"os"
	"testing"
)

var seedsFlag = flag.Int("sim.seeds", 200, "how many")

var seedFlag = flag.Uint64("sim.seed", 0, "run one seed and print its trace")

func TestOneSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("-sim.seed")
	}
	r := Run(*seedFlag, Options{Log: os.Stdout})
	t.Logf("%+v", r)
	if len(r.Violated) > 0 {
		t.Fail()
	}
}

func TestSeeds(t *testing.T) {
	for seed := uint64(1); seed <= uint64(*seedsFlag); seed++ {
		if r := Run(seed, Options{}); len(r.Violated) > 0 {
			t.Errorf("seed %d: %v", seed, r.Violated)
		}
	}
}

func TestEveryBreakageIsNoticed(t *testing.T) {
	for _, b := range Breakages {
		t.Run(string(b.Name), func(t *testing.T) {
			for seed := uint64(1); seed <= 400; seed++ {
				if r := Run(seed, Options{Break: b.Name}); len(r.Violated) > 0 {
					t.Logf("| `%s` | %d | %s | %s | %d |", b.Name, b.Promise, b.How, r.Violated[0], seed)
					return
				}
			}
			t.Error("400 seeds have not noticed it")
		})
	}
}
