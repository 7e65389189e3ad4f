package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Part is the sort of thing that a Fault is about.
type Part string

const (
	PartFile     Part = "file"     // of the backend: pages, what they point at, the room that is free
	PartKeyring  Part = "keyring"  // of the Sealer
	PartRecord   Part = "record"   // a value cannot be opened or read
	PartIndex    Part = "index"    // a line is missing, or one too many
	PartPersonal Part = "personal" // a personal part does not fit its event
	PartJournal  Part = "journal"  // numbers of events, positions of consumers
	PartCopy     Part = "copy"     // a hot copy of the store
	PartFeed     Part = "feed"     // what boxes get from the central, or have from it
)

// Fault is something in a store that is not as it should be, in the words of an
// operator.
type Fault struct {
	Part   Part   `json:"part"`
	Where  string `json:"where"`
	What   string `json:"what"`             // what is wrong
	Cost   string `json:"cost"`             // what does not work, or is lost
	Remedy string `json:"remedy,omitempty"` // what to do

	line *fix // of PartIndex: the line that mends it
}

// Mendable says whether what is lost follows from what is there: Mend makes it anew.
func (f *Fault) Mendable() bool { return f.line != nil }

func (f *Fault) String() string { return fmt.Sprintf("%s: %s", f.Where, f.What) }

// Remedies, as operators can type them.
const (
	RemedyMend    = "cypherface store check --repair makes it anew from the records"
	RemedyRestore = "cypherface store restore --copy latest puts the newest copy back"
)

// Checked counts what a check has read.
type Checked struct {
	Records  int `json:"records"` // without events
	Lines    int `json:"lines"`   // of indexes
	Events   int `json:"events"`
	Personal int `json:"personal"` // personal parts
	Erased   int `json:"erased"`   // values of people who were erased since, which nobody reads; only in copies
}

// kinds makes an empty record of each kind; events have a way of their own.
var kinds = map[Kind]func() value{
	KindEvent:    nil,
	KindMerchant: func() value { return &Merchant{} },
	KindAccount:  func() value { return &Account{} },
	KindKey:      func() value { return &Key{} },
	KindSecret:   func() value { return &Secret{} },
	KindSite:     func() value { return &Site{} },
	KindDoor:     func() value { return &Door{} },
	KindGrant:    func() value { return &Grant{} },
	KindDevice:   func() value { return &Device{} },
	KindPerson:   func() value { return &Person{} },
	KindCrop:     func() value { return &Crop{} },
	KindTemplate: func() value { return &Template{} },
	KindTicket:   func() value { return &Ticket{} },
	KindImage:    func() value { return &Image{} },
	KindReview:   func() value { return &Review{} },
	KindSession:  func() value { return &Session{} },
	KindRetired:  func() value { return &Retired{} },
	KindPeriod:   func() value { return &Period{} },

	KindMigration: func() value { return &Migration{} },

	KindLink:        func() value { return &Link{} },
	KindPending:     func() value { return &Pending{} },
	KindBox:         func() value { return &Box{} },
	KindForeign:     func() value { return &Foreign{} },
	KindCode:        func() value { return &Code{} },
	KindLock:        func() value { return &Lock{} },
	KindLetter:      func() value { return &Letter{} },
	KindConsentText: func() value { return &ConsentText{} },
	KindConsent:     func() value { return &Consent{} },
	KindSighting:    func() value { return &Sighting{} },
	KindCredential:  func() value { return &Credential{} },
	KindCandidate:   func() value { return &Candidate{} },
	KindFormer:      func() value { return &Former{} },
	KindBulk:        func() value { return &Bulk{} },
	KindBulkItem:    func() value { return &BulkItem{} },
	KindClaim:       func() value { return &Claim{} },
}

// Check reads everything in a store: each value is opened and decoded, each record
// held against its lines in the indexes and each line against its record, personal
// parts against the digests in their events, the numbers of the events against each
// other and against the positions of consumers. It reports what is wrong and goes
// on; the error is that of a store which cannot be read on.
func Check(tx *Tx, report func(Fault)) (Checked, error) {
	c := &checker{tx: tx, report: report, want: map[string]int{}, missed: map[line]bool{}}
	buckets, err := tx.buckets()
	if err != nil {
		return c.Checked, err
	}
	if err := c.description(); err != nil {
		return c.Checked, err
	}
	for _, b := range buckets {
		switch kind, record := strings.CutPrefix(b, recordBucket("")); {
		case record:
			err = c.records(Kind(kind))
		case b == personalBucket:
			err = c.personal()
		case b == erasedBucket:
			err = c.erased()
		case b == scopeBucket:
			err = c.scopes()
		case b == feedBucket:
			err = c.feed()
		case b == feedRecordBucket:
			err = c.feedRecords()
		case b == replicaBucket:
			err = c.replica()
		case b == foreignPersonalBucket:
			err = c.foreignPersonal()
		case b != metaBucket && b != outboxBucket && b != deletedBucket && !strings.HasPrefix(b, indexBucket("")):
			c.report(Fault{Part: PartRecord, Where: b, What: "is of no use to this program", Cost: "perhaps it had another name, and what is in it is missing", Remedy: RemedyRestore})
		}
		if err != nil {
			return c.Checked, fmt.Errorf("check %s: %w", b, err)
		}
	}
	for _, b := range buckets {
		if strings.HasPrefix(b, indexBucket("")) {
			if err := c.index(b); err != nil {
				return c.Checked, fmt.Errorf("check %s: %w", b, err)
			}
		}
	}
	return c.Checked, c.journal()
}

func (tx *Tx) buckets() ([]string, error) {
	if tx.kv == nil {
		return nil, ErrTxDone
	}
	return tx.kv.Buckets()
}

// checker is a check under way.
type checker struct {
	Checked
	tx     *Tx
	report func(Fault)
	want   map[string]int // lines that the records imply and that are there, by bucket
	missed map[line]bool  // lines that were reported as missing
	first  uint64         // number of the oldest event, 0 for none
	last   uint64
	tree   Tree // of the events, as long as none is missing from the first on
}

// description checks that the store is of the box whose name it was sealed with.
func (c *checker) description() error {
	sealed, err := c.tx.get(metaBucket, []byte(sealKey))
	if err != nil || sealed == nil {
		return err
	}
	device, err := c.tx.layout.sealer.Open(sealPlace, sealed)
	if info := c.tx.layout.info; err != nil || DeviceID(device) != info.Device {
		c.report(Fault{
			Part: PartRecord, Where: "description of the store", What: fmt.Sprintf("names the box %s, which it was not sealed for", info.Device),
			Cost: "new events are those of another box", Remedy: RemedyRestore,
		})
	}
	return nil
}

// keyWords puts a key into words: ids are words already.
func keyWords(bucket string, k []byte) string {
	if bucket == recordBucket(KindEvent) || bucket == personalBucket || bucket == "" && len(k) == 8 {
		if seq, err := parseSeq(k); err == nil {
			return strings.TrimSpace(fmt.Sprintf("%s %d", bucket, seq))
		}
	}
	if !utf8.Valid(k) || bytes.ContainsFunc(k, func(r rune) bool { return r < ' ' }) {
		k = []byte(hex.EncodeToString(k))
	}
	return strings.TrimSpace(bucket + " " + string(k))
}

// open opens a value; false means that there is nothing to go on with.
func (c *checker) open(bucket string, k, sealed []byte, cost string) ([]byte, bool) {
	plain, err := c.tx.layout.sealer.Open(Place{Bucket: bucket, Key: k}, sealed)
	switch {
	case errors.Is(err, ErrErased):
		c.Erased++
		return nil, false
	case err != nil:
		c.report(Fault{Part: PartRecord, Where: keyWords(bucket, k), What: fmt.Sprintf("cannot be opened: %v", err), Cost: cost, Remedy: RemedyRestore})
		return nil, false
	}
	return plain, true
}

// records checks the records of a kind and their lines.
func (c *checker) records(k Kind) error {
	bucket := recordBucket(k)
	if k == KindEvent {
		return c.events()
	}
	fresh := kinds[k]
	return c.tx.scan(bucket, Range{}, func(key, sealed []byte) (bool, error) {
		c.Records++
		cost := fmt.Sprintf("this %s is lost", k)
		plain, ok := c.open(bucket, key, sealed, cost)
		if !ok {
			return true, nil
		}
		if fresh == nil {
			c.report(Fault{Part: PartRecord, Where: keyWords(bucket, key), What: "is of an unknown kind", Cost: "nothing uses it"})
			return true, nil
		}
		rec := fresh()
		if err := decode(plain, rec); err != nil {
			c.report(Fault{Part: PartRecord, Where: keyWords(bucket, key), What: err.Error(), Cost: cost, Remedy: RemedyRestore})
			return true, nil
		}
		return true, c.lines(k, string(key), rec.spec().entries)
	})
}

// lines checks that a record stands in its indexes.
func (c *checker) lines(k Kind, id string, entries []entry) error {
	for _, e := range entries {
		l := c.tx.line(e, id)
		there, err := c.tx.get(l.bucket, []byte(l.key))
		if err != nil {
			return err
		}
		if string(there) == id {
			c.want[l.bucket]++
			continue
		}
		c.missed[l] = true
		c.report(Fault{
			Part: PartIndex, Where: l.bucket + " to " + keyWords(recordBucket(k), []byte(id)), What: "the line is missing or leads elsewhere",
			Cost: fmt.Sprintf("this %s is not found or listed by it", k), Remedy: RemedyMend,
			line: &fix{line: l, id: id},
		})
	}
	return nil
}

// index checks that an index has no other lines than those of the records. As all
// of these were found, their number tells; only where it is wrong, each is followed.
func (c *checker) index(bucket string) error {
	n := 0
	err := c.tx.scan(bucket, Range{}, func(_, _ []byte) (bool, error) { n++; return true, nil })
	c.Lines += n
	if err != nil || n == c.want[bucket] {
		return err
	}
	return c.tx.scan(bucket, Range{}, func(key, id []byte) (bool, error) {
		l := line{bucket, string(key)}
		if c.missed[l] { // it leads elsewhere
			return true, nil
		}
		implied, err := c.tx.implies(string(id), l)
		if err != nil || implied {
			return true, nil // a record that cannot be read was reported
		}
		c.report(Fault{
			Part: PartIndex, Where: keyWords(bucket, key), What: "the line leads to what it does not belong to: " + keyWords("", id),
			Cost: "listings by it fail, and a value seems taken that is not", Remedy: RemedyMend,
			line: &fix{line: l, id: string(id), gone: true},
		})
		return true, nil
	})
}

// treeSchema is the first schema whose journal has a tree beside its head.
const treeSchema = 3

// Inspect is for backends: it is Prepare for a store that is only to be checked,
// and changes nothing. The error is plain for a store of an older schema, which
// Prepare would bring up to date.
func Inspect(kv KV, opt Options) (*Layout, error) {
	l := &Layout{sealer: opt.Sealer, clock: opt.Clock}
	if l.sealer == nil {
		l.sealer = Clear{}
	}
	if l.clock == nil {
		l.clock = time.Now
	}
	b, err := kv.Get(metaBucket, []byte(infoKey))
	switch {
	case err != nil:
		return nil, err
	case b == nil:
		return nil, fmt.Errorf("%w, but a file of something else", ErrForeign)
	}
	if l.info, err = parseInfo(b, opt.Environment); err != nil {
		return nil, err
	}
	head, err := kv.Get(metaBucket, []byte(headKey))
	if err != nil {
		return nil, err
	}
	switch known := 1 + len(migrations); {
	case l.info.Schema > known:
		return nil, fmt.Errorf("%w: it has schema %d and this program knows %d", ErrNewer, l.info.Schema, known)
	case l.info.Schema < treeSchema && head != nil && len(head) != 8:
		return nil, fmt.Errorf("%w: it says that it has schema %d, and its journal has a tree", ErrDamaged, l.info.Schema)
	case l.info.Schema < known:
		return nil, fmt.Errorf("it has schema %d, and is checked when it has been opened by this program, which knows %d", l.info.Schema, known)
	}
	return l, l.checkSeal(kv)
}
