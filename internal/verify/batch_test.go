package verify_test

import (
	"image"
	"slices"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// checked has these faces checked into a batch, numbered from 1 and by the last first.
func (b *box) checked(batch *verify.Batch, faces ...image.Image) {
	b.Helper()
	for n := len(faces); n > 0; n-- {
		p := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: b.merchant}
		_, err := b.Enrol(b.Context(), verify.EnrolRequest{Cause: cause, Merchant: b.merchant, Person: p.ID, New: &p, Images: faces[n-1 : n],
			Check: true, Batch: batch, Number: n})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func (b *box) twins(batch *verify.Batch) (pairs [][2]int) {
	b.Helper()
	twins, err := b.Twins(b.Context(), b.merchant, batch)
	if err != nil {
		b.Fatal(err)
	}
	for _, t := range twins {
		pairs = append(pairs, [2]int{t.Number, t.Of})
	}
	return pairs
}

// Whoever was checked is told of with the one before him whom he resembles most, at
// the threshold at which an enrolment suspects a duplicate.
func TestTwins(t *testing.T) {
	b := newBox(t)
	like := func(who, percent byte) image.Image { return picture(look{who: who, like: percent}) }
	var batch verify.Batch
	b.checked(&batch, of(1), of(2), like(1, 55), of(3), like(2, 80), like(2, 45), like(1, 70), of(2))
	// 6 is too unlike 2, and like 3 and 5 by what all of them have that is like nobody.
	if got := b.twins(&batch); !slices.Equal(got, [][2]int{{3, 1}, {5, 2}, {6, 5}, {7, 3}, {8, 2}}) {
		t.Errorf("twins %v", got)
	}
	if got := b.twins(&batch); got != nil {
		t.Errorf("of an emptied batch %v", got)
	}

	// The more are enrolled, the more a likeness must be.
	b.checked(&batch, of(1), like(1, 52))
	if got := b.twins(&batch); !slices.Equal(got, [][2]int{{2, 1}}) {
		t.Errorf("among few %v", got)
	}
	for range 200 {
		b.person(9)
	}
	b.checked(&batch, of(1), like(1, 52))
	if got := b.twins(&batch); got != nil {
		t.Errorf("among many %v", got)
	}
}

func TestTwinsWhereEachMayHaveOneFace(t *testing.T) {
	b := newBox(t)
	b.merchant = b.newMerchant(store.MerchantPolicy{RefuseDuplicates: true})
	var batch verify.Batch
	b.checked(&batch, of(1), of(1))
	twins, err := b.Twins(t.Context(), b.merchant, &batch)
	if err != nil || len(twins) != 1 || twins[0].Refused == nil || verify.ReasonOf(twins[0].Refused) != verify.ReasonDuplicate {
		t.Errorf("%+v, %v", twins, err)
	}
}

// Templates of two spaces are not compared: the check is to be made again.
func TestTwinsAfterAChangeOfSpace(t *testing.T) {
	b := newBox(t)
	var batch verify.Batch
	b.checked(&batch, of(1))
	b.Close()
	b.engine = &fakeEngine{space: "two", axis: 3}
	b.start()
	if _, err := b.Twins(t.Context(), b.merchant, &batch); err == nil {
		t.Error("a batch of another space is compared")
	}
	b.checked(&batch, of(1), of(1))
	if got := b.twins(&batch); len(got) != 1 {
		t.Errorf("checked again: %v", got)
	}
}
