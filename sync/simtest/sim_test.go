package simtest

import (
	"flag"
	"os"
	"testing"
)

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
	for seed := uint64(1); seed <= 200; seed++ {
		if r := Run(seed, Options{}); len(r.Violated) > 0 {
			t.Errorf("seed %d: %v", seed, r.Violated)
		}
	}
}
