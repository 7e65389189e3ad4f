package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// erased checks the notes of erasures: each leads to its event, if that is still in
// the store, and the keyring knows of each.
func (c *checker) erased() error {
	known := map[PersonTag]bool{}
	ring, ok := c.tx.layout.sealer.(Keyring)
	if ok {
		for _, tag := range ring.Forgotten() {
			known[tag] = true
		}
	}
	return c.tx.scan(erasedBucket, Range{}, func(key, b []byte) (bool, error) {
		fault := Fault{
			Part: PartRecord, Where: keyWords(erasedBucket, key), What: "is no note of an erasure",
			Cost: "who was erased could be put again", Remedy: RemedyRestore,
		}
		seq, err := parseSeq(b)
		if err != nil || len(key) != len(PersonTag{}) {
			c.report(fault)
			return true, nil
		}
		tag := PersonTag(key)
		var e Event
		err = c.tx.load(KindEvent, string(seqKey(seq)), &e)
		if ok && seq != 0 && !known[tag] && !ring.Has(tag) || err == nil && (e.Kind != EventErasure || e.Person.Tag() != tag) {
			fault.What = fmt.Sprintf("is the note of an erasure by event %d, which is none", seq)
			c.report(fault)
		}
		return true, nil
	})
}

// events checks the events and that their numbers leave nothing out.
func (c *checker) events() error {
	bucket := recordBucket(KindEvent)
	return c.tx.scan(bucket, Range{}, func(key, sealed []byte) (bool, error) {
		c.Events++
		seq, err := parseSeq(key)
		if err != nil {
			c.report(Fault{Part: PartJournal, Where: keyWords(bucket, key), What: "the number of an event is malformed", Cost: "this event is lost", Remedy: RemedyRestore})
			return true, nil
		}
		if c.first == 0 {
			c.first = seq
		} else if seq != c.last+1 {
			c.gap(c.last+1, seq-1)
		}
		c.last = seq
		plain, ok := c.open(bucket, key, sealed, "this event is lost, and whoever reads the journal stops at it")
		if !ok {
			return true, nil
		}
		var e Event
		if err := decode(plain, &e); err != nil || e.Seq != seq {
			c.report(Fault{Part: PartRecord, Where: keyWords(bucket, key), What: "cannot be read, or says that it is another", Cost: "this event is lost", Remedy: RemedyRestore})
			return true, nil
		}
		if e.Device != c.tx.layout.info.Device || e.Epoch != c.tx.layout.info.Epoch {
			c.report(Fault{Part: PartJournal, Where: keyWords(bucket, key), What: "is of another box or epoch than the store", Cost: "it cannot be told whose it is", Remedy: RemedyRestore})
		}
		if raw, _, err := split(plain); err == nil && c.tree.Size()+1 == seq {
			c.tree.Append(LeafHash(raw))
		}
		if err := c.personalOf(&e); err != nil {
			return false, err
		}
		return true, c.lines(KindEvent, string(key), e.entries())
	})
}

func (c *checker) gap(from, to uint64) {
	where := fmt.Sprintf("event %d", from)
	if to > from {
		where = fmt.Sprintf("events %d to %d", from, to)
	}
	c.report(Fault{Part: PartJournal, Where: where, What: "missing between others", Cost: "what happened then is not known any more", Remedy: RemedyRestore})
}

// personalOf checks the personal part of an event. That there is none is right
// where the person was erased.
func (c *checker) personalOf(e *Event) error {
	sealed, err := c.tx.get(personalBucket, seqKey(e.Seq))
	if err != nil {
		return err
	}
	where := keyWords(personalBucket, seqKey(e.Seq))
	fault := Fault{Part: PartPersonal, Where: where, Cost: "who was meant is not known any more", Remedy: RemedyRestore}
	switch {
	case sealed == nil && e.Personal == nil:
	case sealed == nil:
		if errors.Is(c.tx.checkErased(e.Person), ErrErased) {
			return nil
		}
		fault.What = "is missing, and nobody was erased"
		c.report(fault)
	default:
		plain, err := c.tx.layout.sealer.Open(Place{Bucket: personalBucket, Key: seqKey(e.Seq)}, sealed)
		if errors.Is(err, ErrErased) {
			c.Erased++
			return nil
		}
		if digest := sha256.Sum256(plain); err != nil || string(digest[:]) != string(e.Personal) {
			fault.What = "does not fit the digest in its event"
			c.report(fault)
		}
	}
	return nil
}

// personal checks that each personal part has an event.
func (c *checker) personal() error {
	return c.tx.scan(personalBucket, Range{}, func(key, _ []byte) (bool, error) {
		c.Personal++
		event, err := c.tx.get(recordBucket(KindEvent), key)
		if err == nil && event == nil {
			c.report(Fault{Part: PartPersonal, Where: keyWords(personalBucket, key), What: "has no event", Cost: "nothing uses it"})
		}
		return err == nil, err
	})
}

// journal checks the head of the journal and the positions of consumers.
func (c *checker) journal() error {
	tree, err := JournalTree(c.tx)
	if err != nil {
		c.report(Fault{Part: PartJournal, Where: "head of the journal", What: err.Error(), Cost: "no event can be appended, and so nothing changed", Remedy: RemedyRestore})
		return nil
	}
	head := tree.Size()
	if c.tree.Size() == head && c.tree.Root() != tree.Root() {
		c.report(Fault{Part: PartJournal, Where: "head of the journal", What: "is not that of its events", Cost: "the journal cannot be proven", Remedy: RemedyRestore})
	}
	if c.last > head {
		c.report(Fault{Part: PartJournal, Where: "head of the journal", What: fmt.Sprintf("is %d, but there are events up to %d", head, c.last), Cost: "the next events would replace others", Remedy: RemedyRestore})
	} else if c.last > 0 && c.last < head {
		c.gap(c.last+1, head)
	}
	return c.tx.scan(outboxBucket, Range{}, func(consumer, b []byte) (bool, error) {
		fault := Fault{Part: PartJournal, Where: "position of " + string(consumer)}
		seq, err := parseSeq(b)
		switch {
		case err != nil:
			fault.What, fault.Cost, fault.Remedy = "is malformed", "this consumer gets no events", RemedyRestore
		case seq > head:
			fault.What = fmt.Sprintf("is event %d of %d", seq, head)
			fault.Cost, fault.Remedy = "this consumer misses events", RemedyRestore
		case c.first > 0 && seq+1 < c.first:
			fault.What = fmt.Sprintf("is event %d, and the oldest there is is %d", seq, c.first)
			fault.Cost = "this consumer has missed events and has to begin anew"
		default:
			return true, nil
		}
		c.report(fault)
		return true, nil
	})
}
