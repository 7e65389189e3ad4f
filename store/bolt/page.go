package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"slices"

	"github.com/cypherface/edge/store"
)

// The pages of a bbolt file, as its package internal/common has them; numbers are
// in the order of the machine, little-endian on all that this program runs on:
//
//	page      id 8, kind 2, count 2, overflow 4 | elements | keys and values
//	branch    position 4, length of key 4, page 8; the position from the element on
//	leaf      flags 4, position 4, length of key 4, length of value 4
//	freelist  page 8 each; a count of 65535 stands for one in the first 8 bytes
//	meta      magic 4, version 4, page size 4, flags 4, root page 8, sequence 8,
//	          page of the freelist 8, number of pages 8, transaction 8, FNV-1a of these 8
//
// A page whose overflow is n goes over the next n pages as well. The value of a
// bucket is its root page 8, sequence 8; root 0 means that its one page follows.
const (
	pageHead   = 16
	elementLen = 16
	metaLen    = 64

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	bucketFlag = 0x01

	metaMagic   = 0xed0cdaed
	metaVersion = 2
)

// meta is what a meta page says.
type meta struct {
	pageSize int
	root     uint64
	freelist uint64
	pages    uint64 // behind the last one
	tx       uint64
}

// parseMeta reads a meta page, which must be whole.
func parseMeta(b []byte) (m meta, ok bool) {
	if len(b) < pageHead+metaLen {
		return m, false
	}
	b = b[pageHead : pageHead+metaLen]
	le := binary.LittleEndian
	sum := fnv.New64a()
	sum.Write(b[:56])
	if le.Uint32(b) != metaMagic || le.Uint32(b[4:]) != metaVersion || sum.Sum64() != le.Uint64(b[56:]) {
		return m, false
	}
	m = meta{int(le.Uint32(b[8:])), le.Uint64(b[16:]), le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:])}
	sane := m.pageSize >= minPage && m.pageSize <= maxPage && m.pageSize&(m.pageSize-1) == 0 && m.pages < 1<<40
	return m, sane
}

// Sizes that the pages of a system have, and more.
const (
	minPage = 1 << 10
	maxPage = 1 << 24
)

// metas are the two meta pages of a file, which commits write by turns.
type metas [2]struct {
	meta
	whole bool
}

// readMetas reads both. The second lies where the first says; where that is
// damaged, at one of the sizes that pages have.
func readMetas(r io.ReaderAt) (both metas, err error) {
	var b [pageHead + metaLen]byte
	read := func(i int, at int64) error {
		if _, err := r.ReadAt(b[:], at); err != nil && err != io.EOF {
			return err
		}
		both[i].meta, both[i].whole = parseMeta(b[:])
		clear(b[:])
		return nil
	}
	if err := read(0, 0); err != nil {
		return both, err
	}
	if both[0].whole {
		return both, read(1, int64(both[0].pageSize))
	}
	for size := int64(minPage); size <= maxPage && !both[1].whole; size <<= 1 {
		if err := read(1, size); err != nil {
			return both, err
		}
	}
	return both, nil
}

// settledMetas reads both while commits go on: until they are the same twice, since
// of two pages that are read one after the other the first may be older by any
// number of commits.
func settledMetas(r io.ReaderAt) (metas, error) {
	before, err := readMetas(r)
	for err == nil {
		var both metas
		if both, err = readMetas(r); both == before {
			break
		}
		before = both
	}
	return before, err
}

// newest returns the meta page that holds, false where there is none.
func (m *metas) newest() (meta, bool) {
	switch {
	case m[0].whole && (!m[1].whole || m[0].tx > m[1].tx):
		return m[0].meta, true
	default:
		return m[1].meta, m[1].whole
	}
}

// lost says in words what of the two is not as a commit leaves it; a cut does not
// bring that about, as what is said lies in one sector.
func (m *metas) lost() string {
	switch {
	case !m[0].whole && !m[1].whole:
		return "both meta pages are damaged"
	case !m[0].whole || !m[1].whole:
		return "one of the two meta pages is damaged: it may have been the newer one, and the store be back at the commit before its last"
	case m[0].tx%2 != 0 || m[1].tx%2 != 1 || max(m[0].tx, m[1].tx)-min(m[0].tx, m[1].tx) != 1:
		return fmt.Sprintf("the meta pages are of commits %d and %d, which do not follow each other: some have been lost", m[0].tx, m[1].tx)
	}
	return ""
}

// pageChecker reads all pages of a file that can be reached from a root.
type pageChecker struct {
	r      io.ReaderAt
	size   int    // of a page
	pages  uint64 // in the file
	used   []byte // one bit a page: it was reached
	report func(store.Fault)
	each   func() error // called for each page; an error ends it
}

func newPageChecker(r io.ReaderAt, m meta, report func(store.Fault)) *pageChecker {
	return &pageChecker{
		r: r, size: m.pageSize, pages: m.pages, used: make([]byte, m.pages/8+1), report: report,
		each: func() error { return nil },
	}
}

func (c *pageChecker) fault(id uint64, cost, remedy, format string, args ...any) {
	c.report(store.Fault{
		Part: store.PartFile, Where: fmt.Sprintf("page %d", id), What: fmt.Sprintf(format, args...), Cost: cost, Remedy: remedy,
	})
}

const (
	costPage = "what lies on the page cannot be read, and whoever comes to it gets an error"
	costFree = "the next changes may overwrite what is in use"
)

// remedyPack is for a tree that is whole, beside which something is not.
const remedyPack = "cypherface store check --repair copies what is whole into a new file"

// mark notes that a page with its overflow is in use.
func (c *pageChecker) mark(id, n uint64, remedy string) bool {
	for i := id; i < id+n; i++ {
		if c.used[i/8]>>(i%8)&1 != 0 {
			c.fault(i, costFree, remedy, "is in use twice")
			return false
		}
		c.used[i/8] |= 1 << (i % 8)
	}
	return true
}

// page reads a page as far as it is filled, whatever it says of its overflow. Nil
// means that it is beyond use, which was reported.
func (c *pageChecker) page(id uint64, kinds ...uint16) ([]byte, error) {
	if err := c.each(); err != nil {
		return nil, err
	}
	remedy := store.RemedyRestore
	if kinds[0] == freelistPage { // that can be made anew
		remedy = remedyPack
	}
	if id < 2 || id >= c.pages {
		c.fault(id, costPage, remedy, "something points at it, and the file has %d pages", c.pages)
		return nil, nil
	}
	b, err := c.read(id, c.size)
	if err != nil {
		c.fault(id, costPage, remedy, "cannot be read: %v", err)
		return nil, nil
	}
	le := binary.LittleEndian
	switch self, kind := le.Uint64(b), le.Uint16(b[8:]); {
	case self != id:
		c.fault(id, costPage, remedy, "says that it is page %d", self)
		return nil, nil
	case !slices.Contains(kinds, kind):
		c.fault(id, costPage, remedy, "is of kind %#x", kind)
		return nil, nil
	}
	if b, err = c.whole(id, b); err != nil {
		c.fault(id, costPage, remedy, "cannot be read: %v", err)
		return nil, nil
	}
	says, has := uint64(le.Uint32(b[12:])), uint64(len(b)/c.size-1)
	if le.Uint16(b[8:]) == freelistPage && says > has && says < c.pages-id {
		has = says // it was given room for the most that it could need
	}
	if says != has {
		c.fault(id, costFree, remedyPack, "says that it goes over %d more pages, and what it has fills %d", says, has)
	}
	if !c.mark(id, has+1, remedy) {
		return nil, nil
	}
	return b, nil
}

// whole reads as many more pages as the elements of a page take.
func (c *pageChecker) whole(id uint64, b []byte) ([]byte, error) {
	for {
		end := filled(b)
		if end > uint64(maxFilled) || end > (c.pages-id)*uint64(c.size) {
			return nil, fmt.Errorf("its elements end at byte %d", end)
		}
		if end <= uint64(len(b)) {
			return b, nil
		}
		var err error
		if b, err = c.read(id, int(end)); err != nil {
			return nil, err
		}
	}
}

// maxFilled bounds what is believed of the size of a page.
const maxFilled = 1 << 28

// read reads whole pages that have at least n bytes.
func (c *pageChecker) read(id uint64, n int) ([]byte, error) {
	b := make([]byte, (n+c.size-1)/c.size*c.size)
	_, err := c.r.ReadAt(b, int64(id)*int64(c.size))
	return b, err
}

// filled returns where the content of a page ends, as far as the bytes at hand say.
func filled(b []byte) (end uint64) {
	le := binary.LittleEndian
	n, kind := uint64(le.Uint16(b[10:])), le.Uint16(b[8:])
	if kind == freelistPage {
		if n == 0xffff {
			n = 1 + le.Uint64(b[pageHead:])
		}
		return pageHead + 8*min(n, 1<<40)
	}
	end = pageHead + n*elementLen
	for at := uint64(pageHead); at < pageHead+n*elementLen && at+elementLen <= uint64(len(b)); at += elementLen {
		x := b[at : at+elementLen]
		last := at + uint64(le.Uint32(x)) + uint64(le.Uint32(x[4:]))
		if kind == leafPage {
			last = at + uint64(le.Uint32(x[4:])) + uint64(le.Uint32(x[8:])) + uint64(le.Uint32(x[12:]))
		}
		end = max(end, last)
	}
	return end
}

// element is one of a branch or leaf.
type element struct {
	flags      uint32
	child      uint64
	key, value []byte
}

// elements returns those of a page; ok is false where one lies beyond the page, or
// its key is not behind the one before.
func elements(b []byte) (all []element, ok bool) {
	le := binary.LittleEndian
	n, leaf := int(le.Uint16(b[10:])), le.Uint16(b[8:]) == leafPage
	behind := uint64(pageHead + n*elementLen)
	if behind > uint64(len(b)) {
		return nil, false
	}
	for i := range n {
		at := pageHead + i*elementLen
		x := b[at : at+elementLen]
		var e element
		var pos, klen, vlen uint64
		if leaf {
			e.flags = le.Uint32(x)
			pos, klen, vlen = uint64(le.Uint32(x[4:])), uint64(le.Uint32(x[8:])), uint64(le.Uint32(x[12:]))
		} else {
			pos, klen, e.child = uint64(le.Uint32(x)), uint64(le.Uint32(x[4:])), le.Uint64(x[8:])
		}
		start := uint64(at) + pos
		if start < behind || start+klen+vlen > uint64(len(b)) {
			return nil, false
		}
		e.key, e.value = b[start:start+klen], b[start+klen:start+klen+vlen]
		if i > 0 && bytes.Compare(all[i-1].key, e.key) >= 0 {
			return nil, false
		}
		all, behind = append(all, e), start+klen+vlen
	}
	return all, true
}

// tree checks what hangs below a page. All its keys must be at least low, and less
// than high where that is not nil.
func (c *pageChecker) tree(id uint64, bucket string, low, high []byte) error {
	b, err := c.page(id, branchPage, leafPage)
	if b == nil || err != nil {
		return err
	}
	all, ok := elements(b)
	if !ok {
		c.fault(id, costPage, store.RemedyRestore, "has elements that do not lie in it in order (%s)", bucket)
		return nil
	}
	for i, e := range all {
		next := high
		if i+1 < len(all) {
			next = all[i+1].key
		}
		if bytes.Compare(e.key, low) < 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
			c.fault(id, costPage, store.RemedyRestore, "has a key that belongs elsewhere (%s)", bucket)
			return nil
		}
		switch {
		case b[8] == branchPage:
			err = c.tree(e.child, bucket, e.key, next)
		case bucket == allBuckets && e.flags == bucketFlag:
			err = c.bucket(id, e)
		case bucket == allBuckets || e.flags != 0:
			c.fault(id, costPage, store.RemedyRestore, "has an element that is no %s (%s)", map[bool]string{true: "bucket", false: "value"}[bucket == allBuckets], bucket)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allBuckets is what the tree of the buckets is called; none lies within another.
const allBuckets = "the list of buckets"

// bucket checks a bucket that an element of a leaf is.
func (c *pageChecker) bucket(id uint64, e element) error {
	if len(e.value) < 16 {
		c.fault(id, costPage, store.RemedyRestore, "has a bucket of %d bytes", len(e.value))
		return nil
	}
	if root := binary.LittleEndian.Uint64(e.value); root != 0 {
		return c.tree(root, string(e.key), nil, nil)
	}
	inline := e.value[16:]
	if len(inline) < pageHead || binary.LittleEndian.Uint16(inline[8:]) != leafPage {
		c.fault(id, costPage, store.RemedyRestore, "has a small bucket that is none (%s)", e.key)
	} else if all, ok := elements(inline); !ok || slices.ContainsFunc(all, func(e element) bool { return e.flags != 0 }) {
		c.fault(id, costPage, store.RemedyRestore, "has a small bucket whose elements do not lie in it in order (%s)", e.key)
	}
	return nil
}

// free checks the freelist: what is on it must not be in use, nor be on it twice.
// Pages that are neither are lost room, no more.
func (c *pageChecker) free(id uint64) (freed uint64, err error) {
	b, err := c.page(id, freelistPage)
	if b == nil || err != nil {
		return 0, err
	}
	list, ok := freePages(b)
	if !ok {
		c.fault(id, costFree, remedyPack, "is a list of free pages that is longer than the page")
		return 0, nil
	}
	last := uint64(1)
	for i := range len(list) / 8 {
		page := binary.LittleEndian.Uint64(list[8*i:])
		if page <= last || page >= c.pages {
			c.fault(id, costFree, remedyPack, "is a list of free pages with %d after %d", page, last)
			return freed, nil
		}
		if last = page; c.used[page/8]>>(page%8)&1 != 0 {
			c.fault(page, costFree, remedyPack, "is in use, and is said to be free")
		} else {
			freed++
		}
	}
	return freed, nil
}

// freePages returns the list on a freelist page, 8 bytes each.
func freePages(b []byte) (list []byte, ok bool) {
	n, list := uint64(binary.LittleEndian.Uint16(b[10:])), b[pageHead:]
	if n == 0xffff {
		n, list = binary.LittleEndian.Uint64(list), list[8:]
	}
	if n > uint64(len(list)/8) {
		return nil, false
	}
	return list[:8*n], true
}

// checkFree checks the freelist by itself.
func checkFree(r io.ReaderAt, m meta, report func(store.Fault)) {
	_, _ = newPageChecker(r, m, report).free(m.freelist) // nothing ends it
}

// checkPages checks all pages of a file from its newest meta page on. Nobody must
// write to it meanwhile, or only to pages that are free for the transaction of m.
// It returns how many are free.
func checkPages(r io.ReaderAt, m meta, report func(store.Fault), each func() error) (uint64, error) {
	c := newPageChecker(r, m, report)
	c.each = each
	if err := c.tree(m.root, allBuckets, nil, nil); err != nil {
		return 0, err
	}
	return c.free(m.freelist)
}
