package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// The feed of a scope at the central, as the package comment has it. A record has
// one line in feed, at the revision that changed it last, so that a feed is as long
// as there are records and tombstones.
const (
	scopeBucket      = "scope"
	feedBucket       = "feed"
	feedRecordBucket = "feed.record"
)

// Operations that are in feeds and edits only.
const (
	OpErase  Op = "erase"  // a person is to be erased for ever
	OpAbsent Op = "absent" // a record is not there, or is of the scope no more: nobody has said that it is deleted, and it may come
)

// opNever is how OpAbsent lies in a feed where the record never was of the scope: it
// answers a box that speaks of it, and proves nothing.
const opNever Op = "never"

// feed is a scope while a transaction changes it.
type feed struct {
	site     SiteID
	merchant MerchantID
	head     uint64     // last revision that was given
	floor    uint64     // tombstones up to here are gone
	people   SitePeople // as the records in it were chosen
	changed  bool
}

// FeedState is where the feed of a scope stands.
type FeedState struct {
	Head uint64 // its last revision
	// Floor is the last revision whose tombstones are gone: who stands before it
	// has to begin with FeedRange.
	Floor uint64
}

// FeedChange is a record as it is now, or that it is gone.
type FeedChange struct {
	Rev    uint64 // of the scope; the record's own is in the header
	Op     Op     // OpPut, OpDelete, OpAbsent or OpErase
	Kind   Kind
	ID     string
	Header []byte // JSON of the record; nil where it is gone
	Piece  []byte // its picture or vector, if it has one
}

// RecordKey is how a record stands in the order of FeedRange.
func RecordKey(k Kind, id string) string { return string(k) + "/" + id }

func splitKey(key string) (Kind, string) {
	k, id, _ := strings.Cut(key, "/")
	return Kind(k), id
}

// Share begins the feed of a site: from now on each change of a record that
// belongs there has a revision, and all that are there get one now. A site that is
// shared already stays as it is.
func Share(tx *Tx, site SiteID) error {
	s, err := Get[Site](tx, site)
	if err != nil {
		return err
	}
	feeds, err := tx.feedsOf(s.Merchant)
	if err != nil {
		return err
	}
	for _, f := range feeds {
		if f.site == site {
			return nil
		}
	}
	return tx.whole(func() error {
		f := &feed{site: site, merchant: s.Merchant, people: s.People, changed: true}
		tx.feeds[site] = f
		return tx.fill(f, &s)
	})
}

// fill marks all records that belong to a new feed.
func (tx *Tx) fill(f *feed, s *Site) error {
	keys := []string{RecordKey(KindMerchant, string(s.Merchant)), RecordKey(KindSite, string(s.ID))}
	doors, err := tx.ids(DoorsBySite.name, Plain(s.ID))
	if err != nil {
		return err
	}
	for _, door := range doors {
		keys = append(keys, RecordKey(KindDoor, string(door)))
		grants, err := tx.ids(GrantsByDoor.name, Plain(string(door)))
		if err != nil {
			return err
		}
		for _, g := range grants {
			keys = append(keys, RecordKey(KindGrant, string(g)))
		}
	}
	for k, err := range All(tx, KeysByMerchant, Plain(s.Merchant)) {
		if err != nil {
			return err
		}
		if k.Site == s.ID {
			keys = append(keys, RecordKey(KindKey, string(k.ID)))
		}
	}
	for _, key := range keys {
		if err := tx.mark(f, key, OpPut); err != nil {
			return err
		}
	}
	return tx.regroupAll(f)
}

// feedsOf returns the feeds of a merchant, or all where m is "".
func (tx *Tx) feedsOf(m MerchantID) (feeds []*feed, err error) {
	if tx.feeds == nil {
		tx.feeds, tx.feedsRead = map[SiteID]*feed{}, map[MerchantID]bool{}
	}
	if !tx.feedsRead[m] {
		if err := tx.readFeeds(m); err != nil {
			return nil, err
		}
		tx.feedsRead[m] = true
	}
	for _, f := range tx.feeds {
		if m == "" || f.merchant == m {
			feeds = append(feeds, f)
		}
	}
	return feeds, nil
}

func (tx *Tx) readFeeds(m MerchantID) error {
	r := Range{}
	if m != "" {
		from := escape([]byte(m))
		r = Range{From: from, To: after(from)}
	}
	return tx.scan(scopeBucket, r, func(k, v []byte) (bool, error) {
		f, err := parseFeed(k, v)
		if err == nil && tx.feeds[f.site] == nil {
			tx.feeds[f.site] = f
		}
		return true, err
	})
}

func scopeKey(m MerchantID, s SiteID) []byte { return append(escape([]byte(m)), s...) }

// saveFeeds writes the feeds that the transaction has changed.
func (tx *Tx) saveFeeds() error {
	for _, f := range tx.feeds {
		if !f.changed {
			continue
		}
		v := binary.BigEndian.AppendUint64(nil, f.head)
		v = append(binary.BigEndian.AppendUint64(v, f.floor), f.people...)
		if err := tx.kv.Put(scopeBucket, scopeKey(f.merchant, f.site), v); err != nil {
			return err
		}
	}
	return nil
}

func parseFeed(k, v []byte) (*feed, error) {
	end := bytes.Index(k, []byte{0, 1})
	if end < 0 || len(v) < 16 {
		return nil, fmt.Errorf("%w: scope of %d and %d bytes", ErrDamaged, len(k), len(v))
	}
	return &feed{
		merchant: MerchantID(bytes.ReplaceAll(k[:end], []byte{0, 0xff}, []byte{0})), site: SiteID(k[end+2:]),
		head: binary.BigEndian.Uint64(v), floor: binary.BigEndian.Uint64(v[8:]), people: SitePeople(v[16:]),
	}, nil
}

// readFeed returns the feed of a site, or ErrNotFound.
func (tx *Tx) readFeed(site SiteID) (*feed, error) {
	if f := tx.feeds[site]; f != nil {
		return f, nil
	}
	s, err := Get[Site](tx, site)
	if err != nil {
		return nil, err
	}
	k := scopeKey(s.Merchant, site)
	v, err := tx.get(scopeBucket, k)
	if err == nil && v == nil {
		err = fmt.Errorf("read feed of site %s: %w", site, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return parseFeed(k, v)
}

// FeedStateOf returns where the feed of a site stands, or ErrNotFound where it is
// not shared.
func FeedStateOf(tx *Tx, site SiteID) (FeedState, error) {
	f, err := tx.readFeed(site)
	if err != nil {
		return FeedState{}, err
	}
	return FeedState{f.head, f.floor}, nil
}

// FeedHeads returns the last revision of each feed there is.
func FeedHeads(tx *Tx) (map[SiteID]uint64, error) {
	heads := map[SiteID]uint64{}
	err := tx.scan(scopeBucket, Range{}, func(k, v []byte) (bool, error) {
		f, err := parseFeed(k, v)
		if err == nil {
			heads[f.site] = f.head
		}
		return true, err
	})
	return heads, err
}

func feedKey(s SiteID, rev uint64) []byte {
	return binary.BigEndian.AppendUint64(escape([]byte(s)), rev)
}

func feedRecordKey(s SiteID, key string) []byte { return append(escape([]byte(s)), key...) }

// marked returns the revision of a record in a feed and what happened then;
// 0: it never was in it.
func (tx *Tx) marked(f *feed, key string) (uint64, Op, error) {
	v, err := tx.get(feedRecordBucket, feedRecordKey(f.site, key))
	if err != nil || v == nil {
		return 0, "", err
	}
	return parseMark(v)
}

func parseMark(v []byte) (uint64, Op, error) {
	if len(v) < 8 {
		return 0, "", fmt.Errorf("%w: revision of %d bytes", ErrDamaged, len(v))
	}
	return binary.BigEndian.Uint64(v), Op(v[8:]), nil
}

// hadOnce says whether a record is of a scope, or ever was, as far as the central knows:
// one that was restored does not know what came into the scope since its backup.
func (tx *Tx) hadOnce(f *feed, key string) (bool, error) {
	rev, op, err := tx.marked(f, key)
	return rev != 0 && op != opNever, err
}

// mark gives a record the next revision of a feed.
func (tx *Tx) mark(f *feed, key string, op Op) error {
	if err := tx.unmark(f, key); err != nil {
		return err
	}
	f.head, f.changed = f.head+1, true
	if err := tx.kv.Put(feedBucket, feedKey(f.site, f.head), []byte(string(op)+" "+key)); err != nil {
		return err
	}
	return tx.kv.Put(feedRecordBucket, feedRecordKey(f.site, key), append(seqKey(f.head), op...))
}

// unmark takes a record out of a feed without a tombstone.
func (tx *Tx) unmark(f *feed, key string) error {
	kv, err := tx.writable()
	if err != nil {
		return err
	}
	rev, _, err := tx.marked(f, key)
	if err != nil || rev == 0 {
		return err
	}
	if err := kv.Delete(feedBucket, feedKey(f.site, rev)); err != nil {
		return err
	}
	return kv.Delete(feedRecordBucket, feedRecordKey(f.site, key))
}

// Feed returns changes of a site's records in order: those after a revision,
// about limit or maxBytes of them, and the revision that they lead to. Revisions
// of which a later one says more are left out.
func Feed(tx *Tx, site SiteID, from uint64, limit, maxBytes int) (changes []FeedChange, through uint64, err error) {
	f, err := tx.readFeed(site)
	if err != nil {
		return nil, 0, err
	}
	through = max(from, f.head)
	r := Range{From: feedKey(site, from+1), To: after(escape([]byte(site)))}
	err = tx.scan(feedBucket, r, func(k, v []byte) (bool, error) {
		rev, err := parseSeq(k[len(k)-8:])
		if err != nil {
			return false, err
		}
		if len(changes) >= limit || maxBytes <= 0 {
			through = rev - 1
			return false, nil
		}
		op, key, _ := strings.Cut(string(v), " ")
		c, err := tx.change(rev, Op(op), key)
		maxBytes -= len(c.Header) + len(c.Piece) + len(c.ID)
		changes = append(changes, c)
		return true, err
	})
	return changes, through, err
}

// FeedRange returns the records of a site whose keys follow a key, in the order of
// RecordKey, and with them who is to be erased: about limit or maxBytes of them. All
// that lies between from and next is in it; done says that nothing follows next.
func FeedRange(tx *Tx, site SiteID, from string, limit, maxBytes int) (changes []FeedChange, next string, done bool, err error) {
	if _, err := tx.readFeed(site); err != nil {
		return nil, "", false, err
	}
	prefix := escape([]byte(site))
	r := Range{From: prefix, To: after(prefix)}
	if from != "" {
		r.From = append(feedRecordKey(site, from), 0)
	}
	next, done = from, true
	err = tx.scan(feedRecordBucket, r, func(k, v []byte) (bool, error) {
		if len(changes) >= limit || maxBytes <= 0 {
			done = false
			return false, nil
		}
		rev, op, err := parseMark(v)
		if err != nil {
			return false, err
		}
		next = string(k[len(prefix):])
		if op == OpDelete || op == OpAbsent || op == opNever {
			return true, nil
		}
		c, err := tx.change(rev, op, next)
		maxBytes -= len(c.Header) + len(c.Piece) + len(c.ID)
		changes = append(changes, c)
		return true, err
	})
	return changes, next, done, err
}

// change reads the record that a line of a feed is about.
func (tx *Tx) change(rev uint64, op Op, key string) (FeedChange, error) {
	k, id := splitKey(key)
	if op == opNever {
		op = OpAbsent
	}
	c := FeedChange{Rev: rev, Op: op, Kind: k, ID: id}
	if op != OpPut {
		return c, nil
	}
	plain, err := tx.loadRaw(k, id)
	if errors.Is(err, ErrErased) { // after the View began
		c.Op = OpAbsent
		return c, nil
	} else if err != nil {
		return c, fmt.Errorf("read feed: %w", dangling(err))
	}
	header, piece, err := split(plain)
	c.Header, c.Piece = bytes.Clone(header), bytes.Clone(piece)
	return c, err
}

// TrimFeed removes tombstones of a site's feed that all its boxes have acknowledged,
// looking at limit lines at most, and returns how many there were. A box that was
// revoked keeps none back: it is to begin anew should it return.
func TrimFeed(tx *Tx, site SiteID, limit int) (n int, err error) {
	f, err := tx.readFeed(site)
	if err != nil {
		return 0, err
	}
	if _, err := tx.feedsOf(f.merchant); err != nil {
		return 0, err
	}
	f = tx.feeds[site]
	through := f.head
	for d, err := range All(tx, DevicesByMerchant, Plain(f.merchant)) {
		if err != nil {
			return 0, err
		}
		if d.Site != site || d.Status == Revoked {
			continue
		}
		b, err := Get[Box](tx, d.ID)
		if err != nil && !isNotFound(err) {
			return 0, err
		}
		through = min(through, b.Applied)
	}
	var old []string
	r := Range{From: feedKey(site, f.floor+1), To: feedKey(site, through+1)}
	err = tx.scan(feedBucket, r, func(k, v []byte) (bool, error) {
		op, key, _ := strings.Cut(string(v), " ")
		if Op(op) != OpPut {
			old = append(old, key)
		}
		limit--
		if limit == 0 {
			through, err = parseSeq(k[len(k)-8:])
		}
		return limit > 0, err
	})
	for i := 0; err == nil && i < len(old); i++ {
		err = tx.trim(f, old[i])
	}
	if err == nil && through > f.floor {
		f.floor, f.changed = through, true
	}
	return len(old), err
}

// trim removes a tombstone. Of what is there and left the scope, feedRecordBucket keeps
// that it was in it once, see hadOnce, with a revision that is in no feed any more.
func (tx *Tx) trim(f *feed, key string) error {
	rev, op, err := tx.marked(f, key)
	if err != nil {
		return err
	}
	if op == OpAbsent {
		k, id := splitKey(key)
		if there, err := tx.get(recordBucket(k), []byte(id)); err != nil {
			return err
		} else if there != nil {
			return tx.kv.Delete(feedBucket, feedKey(f.site, rev))
		}
	}
	return tx.unmark(f, key)
}
