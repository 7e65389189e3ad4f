package store

import (
	"bytes"
	"fmt"
	"strings"
)

// anew is what to do about a replica that is not whole.
const anew = "cypherface leave, and cypherface join with a new code, have the box get everything again"

func (c *checker) feedFault(where, what, cost string) {
	c.report(Fault{Part: PartFeed, Where: where, What: what, Cost: cost, Remedy: RemedyRestore})
}

// scopes checks that each feed can be read and that no revision is behind its head.
func (c *checker) scopes() error {
	return c.tx.scan(scopeBucket, Range{}, func(k, v []byte) (bool, error) {
		f, err := parseFeed(k, v)
		if err != nil {
			c.feedFault(keyWords(scopeBucket, k), "is no feed of a site", "its boxes get nothing new")
			return true, nil
		}
		r := Range{From: feedKey(f.site, f.head+1), To: after(escape([]byte(f.site)))}
		return true, c.tx.scan(feedBucket, r, func(_, _ []byte) (bool, error) {
			c.feedFault("feed of site "+string(f.site), fmt.Sprintf("has revisions behind its head %d", f.head), "the next changes would replace others")
			return false, nil
		})
	})
}

// feed checks that each revision is the last of its record, and that what it says
// is there is.
func (c *checker) feed() error {
	return c.tx.scan(feedBucket, Range{}, func(k, v []byte) (bool, error) {
		c.Lines++
		op, key, ok := strings.Cut(string(v), " ")
		end := bytes.Index(k, []byte{0, 1})
		if !ok || end < 0 || len(k) != end+10 {
			c.feedFault(keyWords(feedBucket, k), "is no revision", "boxes miss a change")
			return true, nil
		}
		rev, _ := parseSeq(k[end+2:])
		site := SiteID(k[:end])
		where := fmt.Sprintf("revision %d of site %s", rev, site)
		last, lastOp, err := c.tx.marked(&feed{site: site}, key)
		if err != nil || last != rev || lastOp != Op(op) {
			c.feedFault(where, "is not the last of its record", "a box that begins anew does not get it")
			return true, nil
		}
		kind, id := splitKey(key)
		there, err := c.tx.get(recordBucket(kind), []byte(id))
		if err == nil && there == nil && Op(op) == OpPut {
			c.feedFault(where, "is of a record that is not there", "boxes of the site get nothing behind it")
		}
		return true, err
	})
}

// feedRecords checks that each record of a feed has its revision, but for what left the
// scope before its floor.
func (c *checker) feedRecords() error {
	return c.tx.scan(feedRecordBucket, Range{}, func(k, v []byte) (bool, error) {
		c.Lines++
		rev, op, err := parseMark(v)
		end := bytes.Index(k, []byte{0, 1})
		if err != nil || end < 0 {
			c.feedFault(keyWords(feedRecordBucket, k), "is malformed", "boxes miss a change")
			return true, nil
		}
		line, err := c.tx.get(feedBucket, feedKey(SiteID(k[:end]), rev))
		if err == nil && line == nil && op != OpAbsent {
			c.feedFault(keyWords(feedRecordBucket, k), fmt.Sprintf("is of revision %d, which is missing", rev), "boxes miss a change")
		}
		return true, err
	})
}

// replica checks that a box has what it says it has from the central.
func (c *checker) replica() error {
	return c.tx.scan(replicaBucket, Range{}, func(k, v []byte) (bool, error) {
		c.Lines++
		kind, id := splitKey(string(k))
		if kind == KindMerchant { // the box knows him by another id
			return true, nil
		}
		_, err := parseSeq(v)
		there, getErr := c.tx.get(recordBucket(kind), []byte(id))
		p, pendErr := c.tx.get(recordBucket(KindPending), k)
		if err != nil || there == nil && p == nil {
			c.report(Fault{
				Part: PartFeed, Where: keyWords(replicaBucket, k), What: "is from the central and is not there",
				Cost: "this box lacks it until it changes at the central", Remedy: anew,
			})
		}
		if getErr == nil {
			getErr = pendErr
		}
		return true, getErr
	})
}

// foreignPersonal checks that each personal part fits the event of a box.
func (c *checker) foreignPersonal() error {
	return c.tx.scan(foreignPersonalBucket, Range{}, func(k, sealed []byte) (bool, error) {
		c.Personal++
		plain, ok := c.open(foreignPersonalBucket, k, sealed, "who was meant is not known any more")
		if !ok {
			return true, nil
		}
		var f Foreign
		if err := c.tx.load(KindForeign, string(k), &f); err != nil || !fits(plain, f.Personal) {
			c.report(Fault{Part: PartPersonal, Where: keyWords(foreignPersonalBucket, k), What: "does not fit the digest in its event", Cost: "who was meant is not known any more", Remedy: RemedyRestore})
		}
		return true, nil
	})
}
