package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/store"
)

// MergeRequest makes one person of two.
type MergeRequest struct {
	Cause      store.Cause
	Merchant   store.MerchantID
	Into, From store.PersonID // who stays, and who is no more afterwards
	// Move, which is required, moves in the same transaction all that is not a face,
	// and erases From; its error undoes all.
	Move func(tx *store.Tx) error
}

// Merged is the result of Merge.
type Merged struct {
	Crops   int // that the template is made of
	Dropped int // crops that were too many, the oldest of From
}

// Merge makes the face of From one of Into: the crops of both, at most MaxImages,
// make a new template in each space. It happens whole or not at all. The errors are
// ErrUnknownPerson, ErrOtherFace where the crops do not show one person, and those of
// the store.
func (s *Service) Merge(ctx context.Context, r MergeRequest) (Merged, error) {
	m, err := s.mergeOnce(ctx, r)
	for n := 0; errors.Is(err, errMoved) && n < 3; n++ {
		m, err = s.mergeOnce(ctx, r)
	}
	return m, err
}

func (s *Service) mergeOnce(ctx context.Context, r MergeRequest) (Merged, error) {
	s, leave := s.enter()
	defer leave()
	m, err := s.prepareMerge(ctx, r)
	if err != nil {
		return Merged{}, err
	}
	return m.result, s.store.Update(ctx, r.Cause, m.commit)
}

// merging is a merge that was prepared and not yet committed.
type merging struct {
	MergeRequest
	enrolment
	into, from []store.Crop // as they were when read
	kept       []store.Crop // of from
	result     Merged
}

func (s *Service) prepareMerge(ctx context.Context, r MergeRequest) (*merging, error) {
	m := &merging{MergeRequest: r, enrolment: enrolment{spaces: []string{s.id()}}}
	m.enrolment.Merchant, m.enrolment.Person = r.Merchant, r.Into
	err := s.store.View(ctx, func(tx *store.Tx) error { return m.read(tx) })
	if err != nil {
		return nil, err
	}
	room := MaxImages - min(len(m.into), MaxImages)
	m.kept = m.from[max(0, len(m.from)-room):]
	crops := slices.Concat(m.into, m.kept)
	m.result = Merged{Crops: len(crops), Dropped: len(m.from) - len(m.kept)}
	m.enrolment.result.Crops = len(crops)
	if len(crops) == 0 {
		return m, nil
	}
	templates := make([]engine.Template, len(crops))
	for i, c := range crops {
		if templates[i], err = s.embedCrop(ctx, c); err != nil {
			return nil, err
		}
	}
	if err := s.oneFace(templates); err != nil {
		return nil, &Error{Op: "merge", Err: ErrOtherFace, Hint: "the crops of the two do not show one person: settle that they are different, or erase the wrong one"}
	}
	if m.template = engine.Fuse(templates...); m.template == nil {
		return nil, errors.New("merge: templates cancel each other out")
	}
	if s.beside == nil {
		return m, nil
	}
	return m, s.prepareBeside(ctx, &m.enrolment, crops)
}

// read reads the crops of both.
func (m *merging) read(tx *store.Tx) error {
	for _, side := range []struct {
		id    store.PersonID
		crops *[]store.Crop
	}{{m.Into, &m.into}, {m.From, &m.from}} {
		if _, _, err := person(tx, "merge", m.MergeRequest.Merchant, side.id); err != nil {
			return err
		}
		crops, err := cropsOf(tx, side.id)
		if err != nil {
			return err
		}
		*side.crops = crops
	}
	return nil
}

// commit stores the merge, unless either was enrolled anew meanwhile.
func (m *merging) commit(tx *store.Tx) error {
	now := merging{MergeRequest: m.MergeRequest}
	if err := now.read(tx); err != nil {
		return err
	}
	same := func(a, b store.Crop) bool { return a.ID == b.ID && a.Rev == b.Rev }
	if !slices.EqualFunc(now.into, m.into, same) || !slices.EqualFunc(now.from, m.from, same) {
		return fmt.Errorf("merge: crops of the people: %w", store.ErrStale)
	}
	if err := m.current(tx); err != nil {
		return err
	}
	if err := m.Move(tx); err != nil {
		return err
	}
	for _, c := range m.kept { // sealed for whom they show now
		c.Meta, c.ID, c.Person = store.Meta{}, store.NewID[store.CropID](tx.Time()), m.Into
		if err := store.Put(tx, &c); err != nil {
			return err
		}
	}
	if m.template == nil {
		return nil
	}
	if err := m.putTemplates(tx); err != nil {
		return err
	}
	p, err := store.GetOf[store.Person](tx, m.MergeRequest.Merchant, m.Into)
	if err != nil {
		return err
	}
	p.Status, p.EnrolledAt = store.PersonEnrolled, tx.Time()
	return store.Put(tx, &p)
}
