package bulk

import (
	"context"
	"iter"
	"time"

	"github.com/cypherface/edge/store"
)

// Progress says how a bulk enrolment stands.
type Progress struct {
	store.Bulk
	Counts
	Rate      float64       // people a second; 0: not known
	Remaining time.Duration // at that rate
}

// Counts are the people of a bulk enrolment by what became of them.
type Counts struct{ Done, Enrolled, Updated, Exists, Refused, Erased, Duplicates int }

func (c *Counts) add(i *store.BulkItem) {
	c.Done++
	switch i.Outcome {
	case store.BulkEnrolled:
		c.Enrolled++
	case store.BulkUpdated:
		c.Updated++
	case store.BulkExists:
		c.Exists++
	case store.BulkRefused:
		c.Refused++
	case store.BulkErased:
		c.Erased++
	}
	if i.DuplicateOf != "" || i.Twin > 0 {
		c.Duplicates++
	}
}

// remove undoes add.
func (c *Counts) remove(i *store.BulkItem) {
	var one Counts
	one.add(i)
	c.Done, c.Enrolled, c.Updated, c.Exists = c.Done-one.Done, c.Enrolled-one.Enrolled, c.Updated-one.Updated, c.Exists-one.Exists
	c.Refused, c.Erased, c.Duplicates = c.Refused-one.Refused, c.Erased-one.Erased, c.Duplicates-one.Duplicates
}

// Progress says how a bulk enrolment of a merchant stands.
func (q *Queue) Progress(ctx context.Context, m store.MerchantID, id store.BulkID) (p Progress, err error) {
	q.mu.Lock()
	w := q.active
	q.mu.Unlock()
	counted := w != nil && w.job.ID == id
	err = q.Store.View(ctx, func(tx *store.Tx) error {
		if p.Bulk, err = store.GetOf[store.Bulk](tx, m, id); err != nil || counted {
			return err
		}
		for i, err := range store.All(tx, store.BulkItemsByBulk, store.Plain(id)) {
			if err != nil {
				return err
			}
			p.add(&i)
		}
		return nil
	})
	if err == nil && counted {
		w.report(&p)
	}
	p.Key = nil
	return p, err
}

// Report runs over what became of each person, in the order of the upload.
func (q *Queue) Report(ctx context.Context, m store.MerchantID, id store.BulkID) iter.Seq2[store.BulkItem, error] {
	return func(yield func(store.BulkItem, error) bool) {
		for cursor, more := store.Cursor(""), true; more; {
			var page store.Page[store.BulkItem]
			err := q.Store.View(ctx, func(tx *store.Tx) (err error) {
				if _, err = store.GetOf[store.Bulk](tx, m, id); err != nil {
					return err
				}
				page, err = store.List(tx, store.BulkItemsByBulk, store.Query[store.BulkItem]{Prefix: []store.Term{store.Plain(id)}, Cursor: cursor, Limit: 500})
				return err
			})
			if err != nil {
				yield(store.BulkItem{}, err)
				return
			}
			for _, i := range page.Items {
				if !yield(i, nil) {
					return
				}
			}
			cursor, more = page.Next, page.Next != ""
		}
	}
}

// List lists the bulk enrolments of a merchant, the newest first.
func (q *Queue) List(ctx context.Context, m store.MerchantID) (all []store.Bulk, err error) {
	err = q.Store.View(ctx, func(tx *store.Tx) error {
		page, err := store.List(tx, store.BulksByMerchant, store.Query[store.Bulk]{Prefix: []store.Term{store.Plain(m)}, Reverse: true, Limit: 100})
		all = page.Items
		return err
	})
	for i := range all {
		all[i].Key = nil
	}
	return all, err
}
