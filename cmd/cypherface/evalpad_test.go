package main

import (
	"bytes"
	"encoding/json"
	"image"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/attack"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/synthface"
)

// oneCue scores by Third alone: alive from 0 on.
var oneCue = &liveness.Model{
	Active:  map[string]liveness.Regression{"paper": {Terms: map[string]liveness.Term{"third": {Scale: 1, Low: 1, High: 1}}}},
	Passive: map[string]liveness.Regression{"paper": {Terms: map[string]liveness.Term{"third": {Scale: 1, Low: 1, High: 1}}}},
}

// tried are n attempts of which the first have a third singular value like life's.
func tried(s attack.Species, n, alive int, broken ...string) (all []trial) {
	for i := range n {
		t := trial{species: s, active: true, victim: int64(i), frames: 20, broken: broken}
		for c := range t.measures {
			t.measures[c] = math.NaN()
		}
		t.measures[liveness.Third] = -1
		if i < alive {
			t.measures[liveness.Third] = 1
		}
		all = append(all, t)
	}
	return all
}

// An error rate is what passed of a species, or did not of the living; a rule counts
// whatever the score; who showed no face was turned away.
func TestPadRates(t *testing.T) {
	all := slices.Concat(tried(attack.Live, 50, 48), tried(attack.Mask, 100, 7), tried(attack.Flat, 100, 100, "no_movement"), tried(attack.Phone, 10, 3))
	all = append(all, trial{species: attack.Live, active: true})
	cut := tried(attack.Reshot, 4, 4)
	for i := range cut[:3] {
		cut[i].measures[liveness.Cut] = 99
	}
	all = append(all, cut...)
	r := newPadReport(all, oneCue)
	a := r.Active
	if a.APCER[attack.Mask] != .07 || a.APCER[attack.Flat] != 0 || a.APCER[attack.Reshot] != .25 || a.ByRules[attack.Flat] != 1 || a.ByRules[attack.Reshot] != .75 {
		t.Errorf("APCER %v, by rules %v", a.APCER, a.ByRules)
	}
	if a.APCERWorst != .3 || a.APCERWorstOf != attack.Phone {
		t.Errorf("worst %v of %s", a.APCERWorst, a.APCERWorstOf)
	}
	if math.Abs(a.BPCER-3./51) > 1e-9 || a.LivingAttempts != 51 || a.Attempts != 100 || a.Subjects != 100 {
		t.Errorf("BPCER %v of %d, %d attempts of %d", a.BPCER, a.LivingAttempts, a.Attempts, a.Subjects)
	}
	if got := a.BPCERReasons["attack"]; got != 3 {
		t.Errorf("reasons %v", a.BPCERReasons)
	}
	// Wilson's interval for 7 of 100, by hand.
	if i := a.APCERInterval[attack.Mask]; math.Abs(i[0]-.0343) > 2e-4 || math.Abs(i[1]-.1375) > 2e-4 {
		t.Errorf("interval %v", i)
	}
	if len(r.Active.Pad) > 0 {
		t.Errorf("a network that is not there says %v", r.Active.Pad)
	}
	seen := tried(attack.Phone, 3, 1)
	for i := range seen {
		seen[i].measures[liveness.Picture] = float64(i) / 10
	}
	if p := newPadReport(seen, oneCue).Active.Pad; len(p) != 1 || p[attack.Phone] != .1 {
		t.Errorf("it says %v", p)
	}
	if r.Passive.Attempts != 0 || r.Passive.LivingAttempts != 0 {
		t.Errorf("passive attempts from nowhere: %+v", r.Passive)
	}
	var b bytes.Buffer
	if err := r.print(&b); err != nil || !strings.Contains(b.String(), "worst (phone-replay)") || strings.Contains(b.String(), "passive") {
		t.Errorf("%v: %s", err, &b)
	}
}

// What one run measured, another decides about: nothing is lost on the way, and a file
// of other columns is refused.
func TestCuesComeBack(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cues.csv")
	w, err := newCueWriter(name)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(tried(attack.Mask, 3, 1, "challenge", "other_face"), tried(attack.Live, 2, 2))
	want[4].active = false
	for _, one := range want {
		if err := w.write(one); err != nil {
			t.Fatal(err)
		}
	}
	w.close()
	got, err := readCues(name + "," + name)
	if err != nil || len(got) != 2*len(want) {
		t.Fatal(len(got), err)
	}
	for i, one := range append(want, want...) {
		g := got[i]
		same := g.species == one.species && g.active == one.active && g.victim == one.victim && g.frames == one.frames && slices.Equal(g.broken, one.broken)
		for c, v := range one.measures {
			same = same && (v == g.measures[c] || math.IsNaN(v) && math.IsNaN(g.measures[c]))
		}
		if !same {
			t.Errorf("%d: %+v became %+v", i, one, g)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"columns": strings.Replace(string(b), "third", "fourth", 1), "a number": strings.Replace(string(b), ",1,", ",one,", 1), "a short line": string(b) + "live,active\n"} {
		if _, err := parseCues(strings.NewReader(text)); err == nil {
			t.Errorf("wrong: %s, and nobody says so", what)
		}
	}
}

// A plan has each species as often as was asked, in both modes, and its parts are the
// whole, person by person.
func TestPadPlan(t *testing.T) {
	o := padOptions{subjects: 5, attempts: 7, seeds: "tuning", part: 1, parts: 1}
	whole := o.plan()
	count := map[attack.Species]int{}
	for _, a := range whole {
		count[a.Species]++
	}
	for _, s := range append(attack.Attacks(), attack.Live) {
		if count[s] != 2*o.attempts {
			t.Errorf("%s: %d attempts", s, count[s])
		}
	}
	parts, n := map[int64]int{}, 0
	o.parts = 3
	for o.part = 1; o.part <= o.parts; o.part++ {
		for _, a := range o.plan() {
			if p := parts[a.Victim]; p != 0 && p != o.part {
				t.Errorf("%d is in parts %d and %d", a.Victim, p, o.part)
			}
			parts[a.Victim] = o.part
			n++
		}
	}
	if n != len(whole) {
		t.Errorf("%d of %d attempts in parts", n, len(whole))
	}
	o = padOptions{subjects: 5, attempts: 7, living: 9, seeds: "tuning", part: 1, parts: 1, mode: "active", species: []attack.Species{attack.Live, attack.Mask}}
	count = map[attack.Species]int{}
	for _, a := range o.plan() {
		count[a.Species]++
		if len(a.Challenge) == 0 {
			t.Errorf("a passive attempt: %+v", a)
		}
	}
	if !maps.Equal(count, map[attack.Species]int{attack.Live: 9, attack.Mask: 7}) {
		t.Errorf("attempts %v", count)
	}
}

func TestPadOptions(t *testing.T) {
	for _, args := range [][]string{
		{"--subjects", "0"}, {"--skip", "-1"}, {"--skip", "4961"}, {"--seeds", "all"}, {"--fit", "x.json"}, {"--part", "3/2"}, {"--live", "a", "--measured", "b"}, {"left"},
	} {
		out, errs, code := cli(t, nil, append([]string{"eval-pad"}, args...)...)
		if code == 0 || !strings.Contains(strings.ToLower(errs), "usage") && !strings.Contains(errs, "--help") {
			t.Errorf("%v: status %d: %s%s", args, code, out, errs)
		}
	}
}

// A fit to reporting identities is refused: nothing could be reported about it.
func TestNoFitToReportingIdentities(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cues.csv")
	w, err := newCueWriter(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range tried(attack.Live, 20, 20) {
		one.victim = attack.Reporting(40).Victim(3)
		if err := w.write(one); err != nil {
			t.Fatal(err)
		}
	}
	w.close()
	to := filepath.Join(t.TempDir(), "out.json")
	if _, errs, code := cli(t, nil, "eval-pad", "--measured", name, "--fit", to); code == 0 || !strings.Contains(errs, "reporting") {
		t.Errorf("status %d: %s", code, errs)
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("and a calibration is written")
	}
}

// A fit to attempts of one mode leaves the other as it is, and makes no half calibration.
func TestFitOfOneMode(t *testing.T) {
	dir := t.TempDir()
	name, to := filepath.Join(dir, "cues.csv"), filepath.Join(dir, "calibration.json")
	w, err := newCueWriter(name)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range slices.Concat(tried(attack.Live, 60, 60), tried(attack.Mask, 60, 0)) {
		one.victim = attack.Tuning(60).Victim(i)
		one.measures[liveness.Third] += .01 * float64(i%7)
		if err := w.write(one); err != nil {
			t.Fatal(err)
		}
	}
	w.close()
	if _, errs, code := cli(t, nil, "eval-pad", "--measured", name, "--fit", to); code == 0 || !strings.Contains(errs, "both modes") {
		t.Errorf("status %d: %s", code, errs)
	}
	before := *oneCue
	before.Origin = "before"
	b, err := json.Marshal(&before)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := cli(t, nil, "eval-pad", "--measured", name, "--fit", to); code != 0 {
		t.Fatalf("status %d: %s", code, errs)
	}
	after, err := readModel(to)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(after.Passive, before.Passive) || reflect.DeepEqual(after.Active, before.Active) || !strings.Contains(after.Origin, "active only") || !strings.Contains(after.Origin, before.Origin) {
		t.Errorf("%+v", after)
	}
}

func TestOriginOfAMode(t *testing.T) {
	for _, c := range [][3]string{{"a", "active", "a"}, {"a", "passive", "a"}, {"a, active only; the rest: b", "active", "a"}, {"a, active only; the rest: b", "passive", "b"}} {
		if got := originOf(c[0], c[1]); got != c[2] {
			t.Errorf("%s of %q: %q", c[1], c[0], got)
		}
	}
}

// Each folder is a session, each picture by itself one decision; pictures without a
// face are counted apart.
func TestPadFolders(t *testing.T) {
	dir := t.TempDir()
	person := synthface.NewPerson(5)
	write := func(name string, img image.Image) {
		b, err := picture.EncodeJPEG(img, 90)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	scene := synthface.Scene{Width: 320, Height: 240}
	shot := synthface.Render(scene, synthface.Subject{Person: person}).Image
	for _, name := range []string{"held/1.jpg", "held/2.jpg", "held/3.jpg", "held/4.jpg", "alone.jpg"} {
		write(name, shot) // one picture over and over is nobody alive
	}
	write("empty.jpg", synthface.Render(scene).Image)
	var got padFolders
	if err := json.Unmarshal([]byte(mustCLI(t, "eval-pad", "--packs", testPacks, "--attack", dir, "--json")), &got); err != nil {
		t.Fatal(err)
	}
	a := got.Attack
	if got.Live != nil || a == nil || a.Sessions != 1 || a.Pictures != 2 || a.NoFace != 1 {
		t.Fatalf("%+v", got)
	}
	if a.Reasons["repeated_frame"] != 1 || a.Errors != 0 && a.Errors != .5 || a.Within[1] <= a.Within[0] {
		t.Errorf("%+v", a)
	}
	if _, errs, code := cli(t, nil, "eval-pad", "--packs", testPacks, "--live", filepath.Join(dir, "none")); code == 0 {
		t.Errorf("a folder that is not there: %s", errs)
	}
}
