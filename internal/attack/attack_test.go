package attack_test

import (
	"image"
	"testing"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/attack"
)

// What was tuned on tells nothing about itself: the two sets share nobody, neither
// as victims nor as attackers.
func TestTuningAndReportingShareNobody(t *testing.T) {
	seen := map[int64]string{}
	pools := map[string]attack.Pool{
		"tuning": attack.Tuning(1000), "reporting": attack.Reporting(48), "unseen": attack.Reporting(1000).Skip(48),
		"last": attack.Reporting(48).Skip(attack.MaxPool - 48),
	}
	for name, pool := range pools {
		for i := range pool.Size() {
			for role, seed := range map[string]int64{"victim": pool.Victim(i), "attacker": pool.Other(i)} {
				if who := seen[seed]; who != "" {
					t.Fatalf("%d is %s and %s's %s", seed, who, name, role)
				}
				seen[seed] = name + "'s " + role
			}
		}
	}
}

// One attempt is the same film each time, from the cache or anew, in frames of the
// size and the pace that are promised.
func TestAFilmRepeats(t *testing.T) {
	if testing.Short() {
		t.Skip("renders for some seconds")
	}
	dir := t.TempDir()
	a := attack.Tuning(2).Attempt(attack.Flat, 0, false)
	var films [3][]attack.Frame
	for i := range films {
		s := attack.Studio{}
		if i > 0 {
			s.Cache = dir
		}
		var err error
		if films[i], err = s.Film(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range films[0] {
		for k, g := range films[1:] {
			if f.At != g[i].At || string(f.Image.(*image.YCbCr).Y) != string(g[i].Image.(*image.YCbCr).Y) {
				t.Fatalf("frame %d is another in film %d", i, k+1)
			}
		}
		if f.Image.Bounds().Size() != image.Pt(640, 480) || i > 0 && f.At <= films[0][i-1].At {
			t.Errorf("frame %d: %v at %v", i, f.Image.Bounds(), f.At)
		}
	}
}

func TestChallengesOfAttempts(t *testing.T) {
	pool := attack.Reporting(40)
	for i := range 30 {
		a := pool.Attempt(attack.Live, i, true)
		if len(a.Challenge) != 4 || a.Challenge[0] != liveness.Center {
			t.Errorf("challenge %v", a.Challenge)
		}
	}
	if a := pool.Attempt(attack.Live, 0, false); a.Challenge != nil {
		t.Errorf("a passive attempt is asked for %v", a.Challenge)
	}
}
