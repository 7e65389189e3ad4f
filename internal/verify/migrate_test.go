package verify_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

// turnedEngine is a fakeEngine of another space, which tells how many crops it
// has embedded and can be held up at one.
type turnedEngine struct {
	*fakeEngine
	embedded atomic.Int64
	before   func(ctx context.Context, n int64) // called before each crop is embedded
}

func (e *turnedEngine) EmbedCrop(ctx context.Context, c engine.Crop) (engine.Template, error) {
	n := e.embedded.Add(1)
	if e.before != nil {
		e.before(ctx, n)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return e.fakeEngine.EmbedCrop(ctx, c)
}

// lenient knows scores otherwise than calibration: 0.3 is FMR 1e-4.
func lenient() *models.Calibration {
	return &models.Calibration{Origin: "made up", ImpostorPairs: 100_000_000, MatePairs: 1000, Points: []models.Point{
		{Score: 0.1, FMR: 1e-2}, {Score: 0.2, FMR: 1e-3}, {Score: 0.3, FMR: 1e-4}, {Score: 0.4, FMR: 1e-5}, {Score: 0.5, FMR: 1e-6}}}
}

// change is a box that goes from the space "one" to the space "two".
type change struct {
	*box
	to       *turnedEngine
	released struct{ from, to atomic.Int64 }
	stop     func() // ends Keep and the service
}

func newChange(t *testing.T) *change {
	b := newBox(t)
	return &change{box: b, to: &turnedEngine{fakeEngine: &fakeEngine{space: "two", axis: 11}}}
}

func (c *change) from() verify.Pack {
	return verify.Pack{Name: "first", Engine: c.engine, Calibration: calibration(), Release: func() { c.released.from.Add(1) }}
}

func (c *change) into() verify.Pack {
	return verify.Pack{Name: "second", Engine: c.to, Calibration: lenient(), Release: func() { c.released.to.Add(1) }}
}

// open starts the service with the pack it wants, and the other beside it; keep
// has it work in the background.
func (c *change) open(want, old verify.Pack, keep bool) {
	c.Helper()
	c.Close()
	s, err := verify.New(c.Context(), verify.Config{Store: c.store, Pack: want.Name, Engine: want.Engine, Calibration: want.Calibration,
		Release: want.Release, Old: &old})
	if err != nil {
		c.Fatal(err)
	}
	c.Service = s
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	if keep {
		ended.Go(func() { s.Keep(ctx) })
	}
	c.stop = sync.OnceFunc(func() { cancel(); ended.Wait(); s.Close() })
	c.Cleanup(c.stop)
}

// Close ends the service that runs.
func (c *change) Close() {
	if c.stop != nil {
		c.stop()
		return
	}
	c.box.Close()
}

// wantKnown says that a search finds everybody.
func (c *change) wantKnown(people map[byte]store.PersonID) {
	c.Helper()
	for who, id := range people {
		if r, err := c.identify(of(who)); err != nil || r.Person != id {
			c.Errorf("face %d is %+v, %v; want %s", who, r, err, id)
		}
		if r, err := c.verify(id, of(who)); err != nil || !r.Match {
			c.Errorf("face %d verified: %+v, %v", who, r, err)
		}
	}
}

func (c *change) await(what string, ok func() bool) {
	c.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("not %s: %+v", what, c.Migration())
		}
	}
}

func (c *change) stage(want string) {
	c.Helper()
	c.await(want, func() bool { return c.Migration().Stage == want })
}

// switched waits until the space "two" answers and nothing is left of "one".
func (c *change) switched() {
	c.Helper()
	c.await("switched", func() bool {
		m := c.Migration()
		return m.Space == "two" && m.Stage == verify.StageNone
	})
}

func (c *change) spacesOf(id store.PersonID) (spaces []string) {
	for _, t := range all(c.box, store.TemplatesByPerson, store.Plain(id)) {
		spaces = append(spaces, t.Space)
	}
	slices.Sort(spaces)
	return spaces
}

func (c *change) actions() (done []string) {
	for _, e := range all(c.box, store.EventsByMerchant, store.Plain(store.MerchantID("")), store.Plain(store.EventSystem)) {
		done = append(done, e.Action)
	}
	return done
}

// Everybody answers at each moment of a change of the pack, through restarts in
// its middle; who comes meanwhile is there afterwards, and who is erased is not.
func TestChangeOfThePack(t *testing.T) {
	c := newChange(t)
	people := map[byte]store.PersonID{}
	for who := byte(1); who <= 20; who++ {
		people[who] = c.person(who)
	}
	reached := make(chan struct{})
	hold := make(chan struct{})
	c.to.before = func(_ context.Context, n int64) {
		if n == 18 { // one batch of 16 is stored
			close(reached)
			<-hold
		}
	}
	c.open(c.into(), c.from(), true)
	<-reached
	if m := c.Migration(); m.Stage != verify.StageEmbedding || m.Pack != "first" || m.To != "second" || m.People != 20 || m.Done < 16 || m.Incomplete {
		t.Errorf("in the middle: %+v", m)
	}
	c.wantKnown(people)
	people[21] = c.person(21)
	if got := c.spacesOf(people[21]); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("enrolled meanwhile in %v", got)
	}
	gone := people[3]
	delete(people, 3)
	c.update(func(tx *store.Tx) error { return store.Erase(tx, gone) })
	c.wantKnown(people)
	go close(hold)
	c.Close()

	c.to.before = nil
	c.open(c.into(), c.from(), false) // a restart, and nothing done yet
	c.wantKnown(people)
	if m := c.Migration(); m.Pack != "first" {
		t.Errorf("after a restart: %+v", m)
	}
	c.open(c.into(), c.from(), true)
	c.switched()
	c.wantKnown(people)
	for who, id := range people {
		if got := c.spacesOf(id); !slices.Equal(got, []string{"two"}) {
			t.Errorf("face %d has templates of %v", who, got)
		}
	}
	if r, err := c.identify(of(3)); err != nil || r.Match {
		t.Errorf("who was erased is %+v, %v", r, err)
	}
	if n := c.to.embedded.Load(); n > 20+1+2 { // once each, the batch that was cut again
		t.Errorf("%d crops embedded", n)
	}
	c.open(c.into(), c.from(), true)
	c.wantKnown(people)
	if got, want := c.actions(), []string{verify.ActionBegin, verify.ActionSwitch, verify.ActionEnd}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	c.Close()
	if f, to := c.released.from.Load(), c.released.to.Load(); f != 4 || to != 4 {
		t.Errorf("released %d and %d times in 4 starts", f, to)
	}
}

// The policy is an error rate, in each space by its own calibration.
func TestChangeOfThePackKeepsTheErrorRate(t *testing.T) {
	c := newChange(t)
	p := c.person(1)
	poor := picture(look{who: 1, like: 40}) // below 1e-4 in the first pack, above in the second
	c.open(c.into(), c.from(), false)
	before, err := c.verify(p, poor)
	if err != nil || before.Match || before.Threshold != 80 {
		t.Errorf("%+v, %v", before, err)
	}
	c.open(c.into(), c.from(), true)
	c.switched()
	after, err := c.verify(p, poor)
	if err != nil || !after.Match || after.Threshold != 80 || after.Similarity <= 80 || before.Similarity >= 80 {
		t.Errorf("%+v, %v", after, err)
	}
}

// Who has no crop that can be used answers in the old space, is listed, and is
// left behind by nobody but the operator. Choosing the old pack again brings him
// back.
func TestChangeOfThePackWaitsForPeople(t *testing.T) {
	c := newChange(t)
	people := map[byte]store.PersonID{1: c.person(1), 2: c.person(2), 3: c.person(3)}
	bare, damaged := people[2], people[3]
	crop := all(c.box, store.CropsByPerson, store.Plain(damaged))[0]
	crop.Image = []byte("no picture")
	put(c.box, &crop)
	c.update(func(tx *store.Tx) error {
		return store.Delete[store.Crop](tx, all(c.box, store.CropsByPerson, store.Plain(bare))[0].ID)
	})
	hold := make(chan struct{})
	c.to.before = func(context.Context, int64) { <-hold }
	c.open(c.into(), c.from(), true)
	c.await("begun", func() bool { return c.to.embedded.Load() > 0 })
	if _, err := c.Finish(t.Context(), cause); !errors.Is(err, verify.ErrUnfinished) {
		t.Errorf("finished while people are embedded: %v", err)
	}
	close(hold)
	c.stage(verify.StageWaiting)
	reasons := map[store.PersonID]string{}
	for _, l := range c.Left() {
		reasons[l.Person] = l.Reason
	}
	if len(reasons) != 2 || reasons[bare] != verify.LeftNoCrop || reasons[damaged] != verify.LeftCrop {
		t.Errorf("left %v", reasons)
	}
	c.wantKnown(people)

	if _, err := c.enrol(damaged, of(3)); err != nil { // enrolled again
		t.Fatal(err)
	}
	if n, err := c.Finish(t.Context(), cause); err != nil || n != 1 {
		t.Errorf("finished with %d left, %v", n, err)
	}
	delete(people, 2)
	c.switched()
	c.wantKnown(people)
	if r, err := c.identify(of(2)); err != nil || r.Match {
		t.Errorf("who was left behind is %+v, %v", r, err)
	}
	_, err := c.verify(bare, of(2))
	wantError(t, err, verify.ErrNotEnrolled)
	if left := c.Left(); len(left) != 1 || left[0].Person != bare {
		t.Errorf("left %v", left)
	}
	if got := c.actions(); !slices.Equal(got, []string{verify.ActionBegin, verify.ActionFinish, verify.ActionEnd}) {
		t.Errorf("events %v", got)
	}

	if err := c.Use(t.Context(), cause, c.from()); err != nil {
		t.Fatal(err)
	}
	people[2] = bare
	c.await("back", func() bool { return c.Migration().Space == "one" })
	c.wantKnown(people)
}

// Until the switch, choosing the old pack again takes everything back.
func TestChangeOfThePackIsTakenBack(t *testing.T) {
	for _, running := range []bool{true, false} {
		c := newChange(t)
		people := map[byte]store.PersonID{}
		for who := byte(1); who <= 25; who++ {
			people[who] = c.person(who)
		}
		hold := make(chan struct{})
		c.to.before = func(ctx context.Context, n int64) {
			switch {
			case n == 18:
				select {
				case <-hold:
				case <-ctx.Done():
				}
			case n > 18: // takes a while
				time.Sleep(20 * time.Millisecond)
			}
		}
		c.open(c.from(), c.from(), true)
		if err := c.Use(t.Context(), cause, c.into()); err != nil {
			t.Fatal(err)
		}
		c.await("under way", func() bool { return c.to.embedded.Load() > 17 })
		if n := len(all(c.box, store.TemplatesBySpace, store.Plain(c.merchant), store.Plain("two"))); n < 16 {
			t.Errorf("%d templates of the new space", n)
		}
		if running {
			taken := make(chan error, 1)
			go func() { taken <- c.Use(t.Context(), cause, c.from()) }()
			c.await("cancelled", func() bool {
				var m store.Migration
				c.view(func(tx *store.Tx) (err error) {
					m, err = store.Get[store.Migration](tx, store.TheMigration)
					return err
				})
				return m.Stage != store.MigrationEmbedding
			})
			close(hold)
			if err := <-taken; err != nil {
				t.Fatal(err)
			}
		} else {
			c.Close()
			c.open(c.from(), c.into(), true)
		}
		if n := int(c.to.embedded.Load()); n == len(people) {
			t.Errorf("running %v: everybody was embedded for a change that is taken back", running)
		}
		c.await("taken back", func() bool { m := c.Migration(); return m.Stage == verify.StageNone && m.To == "" })
		c.wantKnown(people)
		if n := len(all(c.box, store.TemplatesBySpace, store.Plain(c.merchant), store.Plain("two"))); n != 0 {
			t.Errorf("running %v: %d templates of the other space are left", running, n)
		}
		if got, want := c.actions(), []string{verify.ActionBegin, verify.ActionCancel, verify.ActionEnd}; !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
	}
}

// A cut between the switch and its end leaves nothing of the old space behind.
func TestChangeOfThePackEndsAfterARestart(t *testing.T) {
	c := newChange(t)
	people := map[byte]store.PersonID{}
	for who := byte(1); who <= 5; who++ {
		people[who] = c.person(who)
	}
	c.open(c.into(), c.from(), true)
	c.switched()
	c.Close()
	c.update(func(tx *store.Tx) error { // as if it had been cut there
		m, err := store.Get[store.Migration](tx, store.TheMigration)
		if err != nil {
			return err
		}
		m.Drop = []string{"one"}
		stale := store.Template{ID: store.NewTemplateID(people[1], "one"), Merchant: c.merchant, Person: people[1], Space: "one", Vector: make([]float32, dim)}
		return errors.Join(store.Put(tx, &m), store.Put(tx, &stale))
	})
	c.open(c.into(), c.from(), true)
	c.switched()
	if got := c.spacesOf(people[1]); !slices.Equal(got, []string{"two"}) {
		t.Errorf("templates of %v", got)
	}
	c.wantKnown(people)
}

// Who has a template in the space to come alone, as from another box, is verified
// there, and embedded in the other.
func TestWhoIsKnownInTheNewSpaceAlone(t *testing.T) {
	c := newChange(t)
	c.person(1)
	p := c.person(2)
	c.open(c.into(), c.from(), false)
	c.update(func(tx *store.Tx) error {
		v, err := c.to.EmbedCrop(t.Context(), c.to.Crop(of(2), engine.Face{}))
		only := store.Template{ID: store.NewTemplateID(p, "two"), Merchant: c.merchant, Person: p, Space: "two", Crops: 1, Vector: v}
		return errors.Join(err, store.Delete[store.Template](tx, store.NewTemplateID(p, "one")), store.Put(tx, &only))
	})
	if r, err := c.verify(p, of(2)); err != nil || !r.Match {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := c.identify(of(2)); err != nil || r.Match {
		t.Errorf("found where he has no template: %+v, %v", r, err)
	}
	if err := c.Reembed(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if r, err := c.identify(of(2)); err != nil || r.Person != p {
		t.Errorf("%+v, %v", r, err)
	}
}
