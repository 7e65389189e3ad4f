package rights

import (
	"fmt"
	"time"

	"github.com/cypherface/edge/store"
)

// Class is a sort of data that goes by itself after some days.
type Class struct {
	Name    string // in the API, on the command line, and in the events of what went
	Default int    // days; 0: kept for as long as the person is there
	What    string // it is about
	Reason  string // why the default is that
	Cost    string // of a shorter time; empty: none

	field func(*store.Retention) **int
}

// MaxDays bounds every setting: a hundred years.
const MaxDays = 36500

// Classes lists the classes that a merchant sets.
func Classes() []Class {
	return []Class{
		{
			Name: "sourceImages", Default: 30, What: "pictures that enrolled, where they are kept beside their crop",
			Reason: "an operator may have to look what was wrong with one; nothing else needs it",
			field:  func(r *store.Retention) **int { return &r.SourceImages },
		},
		{
			Name: "crops", Default: 0, What: "the crops of 256 by 256 pixels that people were enrolled with",
			Reason: "another pack embeds everyone anew from them",
			Cost:   "who has no crop has to come and be enrolled again when the pack is changed, and cannot be merged with somebody",
			field:  func(r *store.Retention) **int { return &r.Crops },
		},
		{
			Name: "inactive", Default: 0, What: "people who were recognised nowhere for so long, erased whole",
			Reason: "the box cannot know who is on leave and who has left",
			Cost:   "who comes back later has to be registered and enrolled again",
			field:  func(r *store.Retention) **int { return &r.Inactive },
		},
		{
			Name: "withdrawn", Default: 30, What: "people who took their consent back and have neither PIN, card nor code, erased whole",
			Reason: "they cannot come in any way, so nothing of them is needed but for questions about the withdrawal",
			field:  func(r *store.Retention) **int { return &r.Withdrawn },
		},
		{
			Name: "unenrolled", Default: 0, What: "people who were registered and never got a face, PIN, card or code, erased whole; those whose enrolment was refused too",
			Reason: "a merchant may register people long before they come",
			field:  func(r *store.Retention) **int { return &r.Unenrolled },
		},
		{
			Name: "reviews", Default: 90, What: "reviews that are settled; that two people are different is kept as the pair alone",
			Reason: "time enough to ask back who settled it and why",
			field:  func(r *store.Retention) **int { return &r.Reviews },
		},
	}
}

// Days is how long a merchant keeps a class; 0 is for ever.
func (c *Class) Days(r *store.Retention) int {
	if set := *c.field(r); set != nil {
		return *set
	}
	return c.Default
}

// Set says whether the merchant chose it.
func (c *Class) Set(r *store.Retention) bool { return *c.field(r) != nil }

// SetRetention changes some classes of r: nil makes one the default again. The
// error is a FieldError.
func SetRetention(r *store.Retention, days map[string]*int, now time.Time) error {
	known := map[string]Class{}
	for _, c := range Classes() {
		known[c.Name] = c
	}
	for name, n := range days {
		c, ok := known[name]
		switch {
		case !ok:
			return &FieldError{name, "is no class of data"}
		case n != nil && (*n < 0 || *n > MaxDays):
			return &FieldError{name, fmt.Sprintf("must be from 0 (kept) to %d days", MaxDays)}
		}
		if name == "inactive" && c.Days(r) != daysOr(n, c.Default) {
			r.InactiveSince = now
		}
		*c.field(r) = n
	}
	return nil
}

func daysOr(n *int, byDefault int) int {
	if n != nil {
		return *n
	}
	return byDefault
}

// limits are the days of a merchant, by class.
type limits struct {
	*store.Merchant
	days map[string]int
	now  time.Time
}

func limitsOf(m *store.Merchant, now time.Time) limits {
	l := limits{m, map[string]int{}, now}
	for _, c := range Classes() {
		l.days[c.Name] = c.Days(&m.Policy.Retention)
	}
	return l
}

// over says whether what was last of use then is over.
func (l *limits) over(class string, then time.Time) bool {
	days := l.days[class]
	return days > 0 && !l.now.Before(then.Add(time.Duration(days)*24*time.Hour))
}

// before is the moment before which things of a class are over; ok is false where
// they are kept.
func (l *limits) before(class string) (t time.Time, ok bool) {
	days := l.days[class]
	return l.now.Add(-time.Duration(days) * 24 * time.Hour), days > 0
}

// duty is what has to go about one person.
type duty struct {
	erase  string // the class by which the person goes whole; empty: he stays
	crops  []store.CropID
	images []store.ImageID
}

func (d *duty) none() bool { return d.erase == "" && len(d.crops)+len(d.images) == 0 }

// count adds what goes to counts, by class.
func (d *duty) count(counts map[string]int) {
	switch {
	case d.erase != "":
		counts[d.erase]++
	default:
		for class, n := range map[string]int{"crops": len(d.crops), "sourceImages": len(d.images)} {
			if n > 0 {
				counts[class] += n
			}
		}
	}
}

// dutyOf finds out what has to go about a person.
func dutyOf(tx *store.Tx, l *limits, p *store.Person) (d duty, err error) {
	if d.erase, err = l.erases(tx, p); err != nil || d.erase != "" {
		return d, err
	}
	if t, ok := l.before("crops"); ok {
		page, err := store.List(tx, store.CropsByPerson, store.Query[store.Crop]{Prefix: []store.Term{store.Plain(p.ID)}, To: store.Moment(t)})
		if err != nil {
			return d, err
		}
		for i := range page.Items {
			d.crops = append(d.crops, page.Items[i].ID)
		}
	}
	if t, ok := l.before("sourceImages"); ok {
		page, err := store.List(tx, store.ImagesByPerson, store.Query[store.Image]{
			Prefix: []store.Term{store.Plain(p.ID), store.Plain(store.PurposeSource)}, To: store.Moment(t),
			Keep: func(i *store.Image) bool { return len(i.Data) > 0 },
		})
		if err != nil {
			return d, err
		}
		for i := range page.Items {
			d.images = append(d.images, page.Items[i].ID)
		}
	}
	return d, nil
}

// erases names the class by which a person has to go whole, if any.
func (l *limits) erases(tx *store.Tx, p *store.Person) (string, error) {
	class, last := "", p.Updated
	switch p.Status {
	case store.PersonSuspended:
		class, last = "withdrawn", time.Time{}
	case store.PersonRegistered:
		class = "unenrolled"
	}
	if class != "" && l.over(class, last) {
		goes, err := l.wayless(tx, p, class)
		if err != nil || goes {
			return class, err
		}
	}
	last = latest(p.Created, p.Updated, p.EnrolledAt, l.Policy.Retention.InactiveSince)
	if !l.over("inactive", last) {
		return "", nil
	}
	sum, err := sightingOf(tx, p)
	if err != nil || !l.over("inactive", latest(last, sum.LastSeen)) {
		return "", err
	}
	return "inactive", nil
}

// wayless says whether a person cannot come in by a credential, and where the class
// is withdrawn, took his consent back long enough ago.
func (l *limits) wayless(tx *store.Tx, p *store.Person, class string) (bool, error) {
	if class == "withdrawn" {
		page, err := store.List(tx, store.ConsentsByPerson, store.Query[store.Consent]{Prefix: []store.Term{store.Plain(p.ID)}, Reverse: true, Limit: 1})
		if err != nil || len(page.Items) == 0 || page.Items[0].Withdrawn.IsZero() || !l.over(class, page.Items[0].Withdrawn) {
			return false, err
		}
	}
	other, err := hasOtherWay(tx, p.ID)
	return err == nil && !other, err
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// do removes what has to go.
func (d *duty) do(tx *store.Tx, p *store.Person) error {
	if d.erase != "" {
		return store.EraseFor(tx, p.ID, "retention_"+d.erase)
	}
	for _, id := range d.crops {
		if err := store.Delete[store.Crop](tx, id); err != nil {
			return err
		}
	}
	for _, id := range d.images {
		i, err := store.Get[store.Image](tx, id)
		if err != nil {
			return err
		}
		i.Data = nil // that there was one stays: a person has one source image
		if err := store.Put(tx, &i); err != nil {
			return err
		}
	}
	return nil
}

// RetentionChanges says in words what differs.
func RetentionChanges(before, after *store.Retention) (words []string) {
	for _, c := range Classes() {
		if from, to := c.Days(before), c.Days(after); from != to {
			words = append(words, fmt.Sprintf("retention of %s %d to %d days", c.Name, from, to))
		}
	}
	return words
}
