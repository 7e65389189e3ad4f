package audit

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cypherface/edge/store"
)

// The file of a period, all numbers big-endian:
//
//	magic
//	block …      sealed; up to 256 events
//	index        sealed; an entry for each block
//	trailer      offset 8 | length 4 of the index, 4 zero bytes | magic of the end
//
// A block is, before it is sealed, the number of its events (2 bytes), their leaf
// hashes (32 bytes each), and a DEFLATE stream of the events, for each the length
// of its envelope, the envelope, the length of its sealed personal part, and that;
// lengths are uvarints. Blocks and index are bound to the period, and a block to
// its number.
const (
	periodMagic  = "cypherface period 1\n"
	periodEnd    = "cfperiod"
	trailerLen   = 8 + 4 + 4 + len(periodEnd)
	periodSuffix = ".period"
	draftSuffix  = ".new"
	blockEvents  = 256
	indexBlock   = 1<<32 - 1 // number that the index is sealed under
	maxSealed    = 64 << 20  // bytes of a block or an index, sealed or not
)

func periodName(id store.PeriodID) string { return string(id) + periodSuffix }

func place(id store.PeriodID, block uint32) store.Place {
	return store.Place{Bucket: "audit", Key: binary.BigEndian.AppendUint32([]byte(id), block)}
}

// entry says what is in a block.
type entry struct {
	offset           int64
	length           int
	first            uint64 // number of the first event
	count            int
	earliest, latest int64 // Unix ns
	terms            filter
}

const entryLen = 8 + 4 + 8 + 2 + 8 + 8 + filterLen

func (e *entry) marshal(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(e.offset))
	b = binary.BigEndian.AppendUint32(b, uint32(e.length))
	b = binary.BigEndian.AppendUint64(b, e.first)
	b = binary.BigEndian.AppendUint16(b, uint16(e.count))
	b = binary.BigEndian.AppendUint64(b, uint64(e.earliest))
	b = binary.BigEndian.AppendUint64(b, uint64(e.latest))
	return append(b, e.terms[:]...)
}

func (e *entry) unmarshal(b []byte) {
	n := binary.BigEndian.Uint64
	e.offset, e.length, e.first, e.count = int64(n(b)), int(binary.BigEndian.Uint32(b[8:])), n(b[12:]), int(binary.BigEndian.Uint16(b[20:]))
	e.earliest, e.latest, e.terms = int64(n(b[22:])), int64(n(b[30:])), filter(b[38:])
}

// filter is a Bloom filter over the terms of a block: a term that is not in it is
// not in the block. With 4096 bits and four of them a term, 300 terms leave one
// miss in 200 unfiltered.
type filter [filterLen]byte

const filterLen = 512

func (f *filter) bits(term string, do func(at *byte, bit byte)) {
	sum := sha256.Sum256([]byte(term))
	for i := range 4 {
		n := binary.BigEndian.Uint16(sum[2*i:]) % (8 * filterLen)
		do(&f[n/8], 1<<(n%8))
	}
}

func (f *filter) add(term string) { f.bits(term, func(at *byte, bit byte) { *at |= bit }) }

func (f *filter) has(term string) bool {
	all := true
	f.bits(term, func(at *byte, bit byte) { all = all && *at&bit != 0 })
	return all
}

// Terms by which blocks are passed over.
func kindTerm(m store.MerchantID, k store.EventKind) string {
	return "k" + string(m) + "\x00" + string(k)
}
func merchantTerm(m store.MerchantID) string { return "m" + string(m) }
func personTerm(p store.PersonID) string     { return "p" + string(p) }

// periodWriter writes the file of a period.
type periodWriter struct {
	file   *os.File
	sealer store.Sealer
	period store.Period
	tree   store.Tree // with all events before, and those written
	leaves []store.Hash
	index  []entry
	offset int64
}

// writePeriod writes the events from..to of a store, whose tree before them is
// given, as a file in dir. It is durable when the period that describes it is
// returned.
func writePeriod(ctx context.Context, s store.Store, dir string, before store.Tree, from, to uint64) (store.Period, error) {
	epoch := s.Info().Epoch
	w := &periodWriter{tree: before, period: store.Period{ID: store.NewPeriodID(epoch, from), Epoch: epoch, From: from, To: to}}
	path := filepath.Join(dir, periodName(w.period.ID))
	var err error
	if w.file, err = os.OpenFile(path+draftSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return w.period, err
	}
	if err = store.HandOver(w.file); err == nil {
		err = w.write(ctx, s)
	}
	if err == nil {
		err = w.file.Sync()
	}
	if err = errors.Join(err, w.file.Close()); err == nil {
		err = os.Rename(path+draftSuffix, path)
	}
	if err != nil {
		return w.period, errors.Join(err, ignoreMissing(os.Remove(path+draftSuffix)))
	}
	return w.period, syncDir(dir)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (w *periodWriter) write(ctx context.Context, s store.Store) error {
	if err := w.put([]byte(periodMagic)); err != nil {
		return err
	}
	for from := w.period.From; from <= w.period.To; from += blockEvents {
		// A View a block: nothing is kept from being freed meanwhile.
		err := s.View(ctx, func(tx *store.Tx) error {
			w.sealer = tx.Sealer()
			var block []store.Envelope
			for e, err := range store.Envelopes(tx, from, min(from+blockEvents-1, w.period.To)) {
				if err != nil {
					return err
				}
				block = append(block, e)
			}
			return w.block(from, block)
		})
		if err != nil {
			return err
		}
	}
	w.period.Roots, w.period.Root = roots(w.period.From-1, w.leaves), w.tree.Root()
	if err := w.finish(); err != nil {
		return err
	}
	w.period.Size = w.offset
	return nil
}

// roots returns those of the largest complete subtrees that make up leaves, the
// first of which has a number counted from 0.
func roots(first uint64, leaves []store.Hash) (all []store.Hash) {
	store.Subtrees(first, first+uint64(len(leaves)), func(level int, n uint64) {
		var t store.Tree
		at := n<<level - first
		for _, leaf := range leaves[at : at+1<<level] {
			t.Append(leaf)
		}
		all = append(all, t.Root())
	})
	return all
}

func (w *periodWriter) put(b []byte) error {
	_, err := w.file.Write(b)
	w.offset += int64(len(b))
	return err
}

// block writes the events from the one numbered from on.
func (w *periodWriter) block(from uint64, events []store.Envelope) error {
	if want := min(blockEvents, w.period.To-from+1); uint64(len(events)) != want {
		return fmt.Errorf("%w: %d events of the journal follow event %d, want %d", store.ErrDamaged, len(events), from-1, want)
	}
	first := len(w.leaves)
	for i := range events {
		e := &events[i]
		if e.Seq != from+uint64(i) {
			return fmt.Errorf("%w: event %d of the journal is missing", store.ErrDamaged, from+uint64(i))
		}
		leaf := store.LeafHash(e.Raw)
		w.tree.Append(leaf)
		w.leaves = append(w.leaves, leaf)
		w.note(e.Time)
	}
	return w.add(events, w.leaves[first:])
}

// add writes a block.
func (w *periodWriter) add(events []store.Envelope, leaves []store.Hash) error {
	e := entry{offset: w.offset, first: events[0].Seq, count: len(events)}
	plain := binary.BigEndian.AppendUint16(nil, uint16(len(events)))
	var body []byte
	for i := range events {
		ev := &events[i]
		plain = append(plain, leaves[i][:]...)
		body = binary.AppendUvarint(body, uint64(len(ev.Raw)))
		body = append(body, ev.Raw...)
		body = binary.AppendUvarint(body, uint64(len(ev.Personal)))
		body = append(body, ev.Personal...)
		e.note(&ev.Event)
	}
	packed := bytes.NewBuffer(plain)
	z, err := flate.NewWriter(packed, flate.DefaultCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(body); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	sealed, err := w.sealer.Seal(place(w.period.ID, uint32(len(w.index))), packed.Bytes())
	if err != nil {
		return err
	}
	e.length = len(sealed)
	w.index = append(w.index, e)
	return w.put(sealed)
}

func (w *periodWriter) note(at time.Time) {
	if w.period.Earliest.IsZero() || at.Before(w.period.Earliest) {
		w.period.Earliest = at
	}
	if at.After(w.period.Latest) {
		w.period.Latest = at
	}
}

func (e *entry) note(ev *store.Event) {
	at := ev.Time.UnixNano()
	if e.earliest == 0 || at < e.earliest {
		e.earliest = at
	}
	e.latest = max(e.latest, at)
	e.terms.add(kindTerm(ev.Merchant, ev.Kind))
	e.terms.add(merchantTerm(ev.Merchant))
	if ev.Person != "" {
		e.terms.add(personTerm(ev.Person))
	}
}

// finish writes the index and the trailer.
func (w *periodWriter) finish() error {
	var plain []byte
	for i := range w.index {
		plain = w.index[i].marshal(plain)
	}
	sealed, err := w.sealer.Seal(place(w.period.ID, indexBlock), plain)
	if err != nil {
		return err
	}
	trailer := binary.BigEndian.AppendUint64(nil, uint64(w.offset))
	trailer = binary.BigEndian.AppendUint32(trailer, uint32(len(sealed)))
	trailer = append(append(trailer, 0, 0, 0, 0), periodEnd...)
	return w.put(append(sealed, trailer...))
}

// periodFile is an open file of a period.
type periodFile struct {
	file   *os.File
	id     store.PeriodID
	sealer store.Sealer
	index  []entry
}

// openPeriod opens the file of a period. The error matches fs.ErrNotExist where
// there is none, and store.ErrDamaged.
func openPeriod(dir string, id store.PeriodID, sealer store.Sealer) (*periodFile, error) {
	f, err := os.Open(filepath.Join(dir, periodName(id)))
	if err != nil {
		return nil, err
	}
	p := &periodFile{file: f, id: id, sealer: sealer}
	if err := p.readIndex(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", filepath.Base(f.Name()), err), f.Close())
	}
	return p, nil
}

func (p *periodFile) close() error { return p.file.Close() }

func damaged(what string) error { return fmt.Errorf("%w: %s", store.ErrDamaged, what) }

func (p *periodFile) readIndex() error {
	st, err := p.file.Stat()
	if err != nil {
		return err
	}
	magic, trailer := make([]byte, len(periodMagic)), make([]byte, trailerLen)
	if st.Size() < int64(len(magic)+len(trailer)) {
		return damaged("the file is cut")
	}
	if err := p.read(magic, 0); err != nil {
		return err
	}
	if string(magic) != periodMagic {
		return damaged("it is not the file of a period")
	}
	end := st.Size() - int64(trailerLen)
	if err := p.read(trailer, end); err != nil {
		return err
	}
	offset, length := binary.BigEndian.Uint64(trailer), binary.BigEndian.Uint32(trailer[8:])
	if string(trailer[16:]) != periodEnd || offset > uint64(end) || uint64(length) != uint64(end)-offset || length > maxSealed {
		return damaged("the file is cut")
	}
	plain, err := p.open(int64(offset), int(length), indexBlock)
	if err != nil {
		return fmt.Errorf("its index: %w", err)
	}
	if len(plain)%entryLen != 0 {
		return damaged("its index is malformed")
	}
	for at := int64(len(magic)); len(plain) > 0; plain = plain[entryLen:] {
		var e entry
		e.unmarshal(plain)
		if e.offset != at || e.length > maxSealed || e.count == 0 {
			return damaged("its index is malformed")
		}
		at += int64(e.length)
		p.index = append(p.index, e)
	}
	return nil
}

func (p *periodFile) read(b []byte, at int64) error {
	_, err := p.file.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		return damaged("the file is cut")
	}
	return err
}

func (p *periodFile) open(offset int64, length int, block uint32) ([]byte, error) {
	sealed := make([]byte, length)
	if err := p.read(sealed, offset); err != nil {
		return nil, err
	}
	return p.sealer.Open(place(p.id, block), sealed)
}

// leaves returns the hashes that a block holds of its events, and what follows.
func (p *periodFile) leaves(block int) (hashes []store.Hash, rest []byte, err error) {
	e := &p.index[block]
	plain, err := p.open(e.offset, e.length, uint32(block))
	if err != nil {
		return nil, nil, err
	}
	if len(plain) < 2 || int(binary.BigEndian.Uint16(plain)) != e.count || len(plain) < 2+32*e.count {
		return nil, nil, damaged("block is malformed")
	}
	rest = plain[2:]
	for range e.count {
		hashes = append(hashes, store.Hash(rest))
		rest = rest[32:]
	}
	return hashes, rest, nil
}

// block returns the events of a block, with the hashes that the block says they
// have.
func (p *periodFile) block(n int) ([]store.Envelope, []store.Hash, error) {
	hashes, packed, err := p.leaves(n)
	if err != nil {
		return nil, nil, err
	}
	events, err := parseEvents(packed, len(hashes))
	return events, hashes, err
}

// parseEvents reads the events of a block.
func parseEvents(packed []byte, n int) ([]store.Envelope, error) {
	body, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxSealed))
	if err != nil {
		return nil, damaged("block is malformed: " + err.Error())
	}
	next := func() ([]byte, error) {
		length, used := binary.Uvarint(body)
		if used <= 0 || length > uint64(len(body)-used) {
			return nil, damaged("block is malformed")
		}
		b := body[used : used+int(length)]
		body = body[used+int(length):]
		return b, nil
	}
	events := make([]store.Envelope, n)
	for i := range events {
		e := &events[i]
		if e.Raw, err = next(); err != nil {
			return nil, err
		}
		if e.Personal, err = next(); err != nil {
			return nil, err
		}
		if len(e.Personal) == 0 {
			e.Personal = nil
		}
		if err := json.Unmarshal(e.Raw, &e.Event); err != nil {
			return nil, damaged("event is malformed: " + err.Error())
		}
	}
	if len(body) > 0 {
		return nil, damaged("block is malformed")
	}
	return events, nil
}
