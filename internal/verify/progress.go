package verify

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/store"
)

// Why somebody could not be embedded from the crops.
const (
	LeftNoCrop  = "no_crop"          // none is kept
	LeftCrop    = "crop_unusable"    // it is damaged, or shows no face to this network
	LeftNetwork = "network_failed"   // what runs the networks failed; it is tried again
	LeftStore   = "store_unreadable" // the person's records cannot be read
)

// Left is somebody who has to be enrolled again to answer in a space.
type Left struct {
	Person   store.PersonID
	Merchant store.MerchantID
	Reason   string
}

// progress is how far a space is filled. The zero value is ready.
type progress struct {
	mu       sync.Mutex // protects the fields below
	people   int        // who are enrolled, at the last look
	missing  int        // of them, without a template
	looked   bool
	made     int // since began
	began    time.Time
	last     time.Time // one was made
	failures map[store.PersonID]Left
}

// begin says what a look at the store found.
func (p *progress) begin(people int, missing []member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people, p.missing, p.looked = people, len(missing), true
	if p.failures == nil {
		p.failures = map[store.PersonID]Left{}
	}
	// Who was enrolled again or erased since is no failure any more.
	still := make(map[store.PersonID]bool, len(missing))
	for _, m := range missing {
		still[m.person] = true
	}
	maps.DeleteFunc(p.failures, func(id store.PersonID, _ Left) bool { return !still[id] })
	p.made, p.began = 0, time.Now()
}

// known says whether the store was looked at.
func (p *progress) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.looked
}

func (p *progress) did(people int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made += people
	p.missing = max(0, p.missing-people)
	p.last = time.Now()
}

func (p *progress) failed(who member, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures[who.person] = Left{who.person, who.merchant, leftReason(err)}
}

func leftReason(err error) string {
	switch {
	case errors.Is(err, ErrNotEnrolled):
		return LeftNoCrop
	case errors.Is(err, errCrop):
		return LeftCrop
	case errors.Is(err, engine.ErrNetwork):
		return LeftNetwork
	case errors.Is(err, store.ErrDamaged):
		return LeftStore
	}
	return LeftCrop
}

// left lists the failures in the order of the ids.
func (p *progress) left() []Left {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Collect(maps.Values(p.failures))
	slices.SortFunc(all, func(a, b Left) int { return strings.Compare(string(a.Person), string(b.Person)) })
	return all
}

// report puts the progress into a migration.
func (p *progress) report(m *Migration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.People, m.Done, m.Left = p.people, p.people-p.missing, len(p.failures)
	if took := p.last.Sub(p.began).Seconds(); p.made > 1 && took > 0 {
		m.Rate = float64(p.made) / took
		if open := p.missing - len(p.failures); open > 0 {
			m.Remaining = time.Duration(float64(open) / m.Rate * float64(time.Second))
		}
	}
}
