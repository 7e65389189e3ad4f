package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cypherface/edge/store"
)

// exportFormat begins every export; the next format counts on.
const exportFormat = "cypherface audit export 1"

// An export is JSON Lines: one exportHead, and then exportEvents in order, with an
// exportCheckpoint behind the event that each is over. The last line is one.
type (
	exportHead struct {
		Format string         `json:"format"`
		Device store.DeviceID `json:"device"`
		Epoch  uint64         `json:"epoch"`
		Key    string         `json:"key"`    // for convenience: who verifies has his own copy
		From   uint64         `json:"from"`   // number of the first event
		Before []byte         `json:"before"` // the tree of those before it, see store.Tree
	}
	exportEvent struct {
		Event json.RawMessage `json:"event"` // its bytes are the leaf
		Hash  *store.Hash     `json:"hash"`
		// SHA-256 of nonce and personal part is the event's digest.
		Nonce    string          `json:"nonce,omitempty"`
		Personal json.RawMessage `json:"personal,omitempty"`
	}
	exportCheckpoint struct {
		Checkpoint string `json:"checkpoint"`
	}
)

// Format is how an export is written.
type Format string

const (
	JSONLines Format = "jsonl" // complete from event to event, and can be verified
	CSV       Format = "csv"   // for spreadsheets, proves nothing
)

// ExportOptions says what to export; the zero value is all of the present epoch.
type ExportOptions struct {
	Format   Format // empty: JSONLines
	Epoch    uint64
	From, To time.Time // begin with the first event at or after From, end with the first checkpoint after the last before To
	Personal bool      // with the personal parts that are not erased
	Progress func(done, total uint64)
}

// Export writes a part of the log. It signs a checkpoint first, so that it ends
// with one.
func (l *Log) Export(ctx context.Context, w io.Writer, opt ExportOptions) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := &exporter{Log: l, opt: opt, out: bufio.NewWriter(w)}
	err := x.run(ctx)
	if err == nil {
		err = x.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("export the audit log: %w", err)
	}
	return nil
}

type exporter struct {
	*Log
	opt   ExportOptions
	out   *bufio.Writer
	table *csv.Writer
	marks []Checkpoint // to come
	tree  store.Tree   // of the events before the first that is written
	begun bool
	last  bool // only the next checkpoint is still wanted
	size  uint64
}

// errEnough ends an export before the log does.
var errEnough = errors.New("enough")

func (x *exporter) run(ctx context.Context) error {
	present := x.Store.Info().Epoch
	if x.opt.Epoch == 0 {
		x.opt.Epoch = present
	}
	if x.opt.Epoch > present {
		return fmt.Errorf("%w: the present epoch is %d", ErrNoEvent, present)
	}
	if x.opt.Epoch == present {
		if _, err := x.checkpoint(ctx); err != nil {
			return err
		}
	}
	var err error
	if x.marks, _, err = x.checkpoints(x.opt.Epoch); err != nil {
		return err
	}
	slices.SortStableFunc(x.marks, func(a, b Checkpoint) int { return int(int64(a.Size - b.Size)) })
	if len(x.marks) > 0 {
		x.size = x.marks[len(x.marks)-1].Size
	}
	err = x.events(ctx)
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && !x.begun {
		err = x.begin(x.tree.Size() + 1)
	}
	if err == nil && x.table != nil {
		x.table.Flush()
		err = x.table.Error()
	}
	return err
}

// events runs over the events of the epoch.
func (x *exporter) events(ctx context.Context) error {
	var ps []store.Period
	err := x.Store.View(ctx, func(tx *store.Tx) (err error) {
		ps, err = periods(tx, x.opt.Epoch)
		return err
	})
	if err != nil {
		return err
	}
	next := uint64(1)
	for i := range ps {
		p := &ps[i]
		next = p.To + 1
		if !x.begun && (!p.Dropped.IsZero() || p.Latest.Before(x.opt.From)) {
			appendPeriod(&x.tree, p)
			continue
		}
		if err := x.period(ctx, p); err != nil {
			return err
		}
	}
	if x.opt.Epoch != x.Store.Info().Epoch {
		return nil
	}
	for from := next; from <= x.size; from += blockEvents {
		err := x.Store.View(ctx, func(tx *store.Tx) error {
			for e, err := range store.Envelopes(tx, from, min(from+blockEvents-1, x.size)) {
				if err != nil {
					return err
				}
				if err := x.event(&e, store.LeafHash(e.Raw)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *exporter) period(ctx context.Context, p *store.Period) error {
	f, err := openPeriod(x.Dir, p.ID, x.sealer)
	if err != nil {
		return err
	}
	defer f.close()
	for i := range f.index {
		if err := ctx.Err(); err != nil {
			return err
		}
		events, hashes, err := f.block(i)
		if err != nil {
			return fmt.Errorf("%s: %w", periodName(p.ID), err)
		}
		for j := range events {
			if err := x.event(&events[j], hashes[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// event writes one, unless it is before what is wanted.
func (x *exporter) event(e *store.Envelope, hash store.Hash) error {
	if !x.begun && e.Time.Before(x.opt.From) {
		x.tree.Append(hash)
		return nil
	}
	if !x.opt.To.IsZero() && !e.Time.Before(x.opt.To) {
		x.last = true
	}
	if !x.begun {
		if err := x.begin(e.Seq); err != nil {
			return err
		}
	}
	if x.opt.Progress != nil && e.Seq%blockEvents == 0 {
		x.opt.Progress(e.Seq, x.size)
	}
	if x.table != nil {
		if x.last {
			return errEnough
		}
		return x.table.Write(row(&e.Event))
	}
	line := exportEvent{Event: e.Raw, Hash: &hash}
	if x.opt.Personal && e.Personal != nil {
		plain, err := store.OpenPersonal(x.sealer, e)
		if err == nil {
			line.Nonce, line.Personal = base64.StdEncoding.EncodeToString(plain[:16]), plain[16:]
		} else if !errors.Is(err, store.ErrErased) {
			return err
		}
	}
	if err := x.line(line); err != nil {
		return err
	}
	return x.met(e.Seq)
}

// begin writes the head.
func (x *exporter) begin(from uint64) error {
	x.begun = true
	if x.opt.Format == CSV {
		x.table = csv.NewWriter(x.out)
		return x.table.Write(columns)
	}
	before, err := x.tree.MarshalBinary()
	if err == nil {
		err = x.line(exportHead{exportFormat, x.Store.Info().Device, x.opt.Epoch, x.key, from, before})
	}
	if err != nil {
		return err
	}
	return x.met(from - 1)
}

// met writes the checkpoints over as many events.
func (x *exporter) met(size uint64) error {
	for len(x.marks) > 0 && x.marks[0].Size <= size {
		c := x.marks[0]
		x.marks = x.marks[1:]
		if c.Size < size {
			continue
		}
		if err := x.line(exportCheckpoint{c.Note}); err != nil {
			return err
		}
		if x.last {
			return errEnough
		}
	}
	return nil
}

func (x *exporter) line(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = x.out.Write(append(b, '\n'))
	}
	return err
}

var columns = []string{"seq", "time", "kind", "action", "outcome", "reasons", "actor", "actorId", "merchant", "site", "door",
	"person", "session", "request", "counters", "changed", "changedId", "op", "fields", "device", "epoch"}

func row(e *store.Event) []string {
	var counters []string
	for name, n := range e.Counters {
		counters = append(counters, name+"="+strconv.FormatFloat(n, 'g', -1, 64))
	}
	slices.Sort(counters)
	var c store.Change
	if e.Change != nil {
		c = *e.Change
	}
	cells := []string{strconv.FormatUint(e.Seq, 10), e.Time.Format(time.RFC3339Nano), string(e.Kind), e.Action, string(e.Outcome),
		strings.Join(e.Reasons, " "), string(e.Actor.Kind), e.Actor.ID, string(e.Merchant), string(e.Site), string(e.Door),
		string(e.Person), string(e.Session), e.Request, strings.Join(counters, " "),
		string(c.Kind), c.ID, string(c.Op), strings.Join(c.Fields, " "), string(e.Device), strconv.FormatUint(e.Epoch, 10)}
	for i, s := range cells {
		// What a spreadsheet would take for a formula stays text.
		if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
			cells[i] = "'" + s
		}
	}
	return cells
}

// maxLine is the longest line of an export that is read.
const maxLine = 4 << 20

// VerifyExport holds an export against the key of the box. A changed, missing or
// reordered line is a finding of the report; the error, which matches ErrUntrue,
// is that it is no export, or that nothing in it is signed with the key.
func VerifyExport(r io.Reader, key string) (Report, error) {
	report := Report{Key: key}
	fail := func(why string) (Report, error) {
		return report, fmt.Errorf("verify export: %w: %s", ErrUntrue, why)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var head exportHead
	var tree store.Tree
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &head) != nil || head.Format != exportFormat {
		return fail("its first line is not that of an export of this format")
	}
	if err := tree.UnmarshalBinary(head.Before); err != nil || tree.Size()+1 != head.From {
		return fail("its first line is malformed")
	}
	report.Epoch = head.Epoch
	a := newAuditor(&report, head.Epoch, head.Device, tree, nil)
	for n := 2; lines.Scan(); n++ {
		var line struct {
			exportEvent
			exportCheckpoint
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			a.find(a.expect, a.expect, "line %d, where event %d or a checkpoint should be, cannot be read", n, a.expect)
			a.lost = true
			continue
		}
		if line.Checkpoint != "" {
			c, err := ParseCheckpoint(line.Checkpoint, key)
			if err != nil || c.Epoch != head.Epoch {
				a.find(0, 0, "line %d: the checkpoint is not signed with the key", n)
				continue
			}
			a.mark(c)
			continue
		}
		a.line(&line.exportEvent)
	}
	if err := lines.Err(); err != nil {
		return report, fmt.Errorf("verify export: %w", err)
	}
	report.Size, report.Root = a.tree.Size(), a.tree.Root().String()
	if last := a.expect - 1; a.vouch < last && !a.lost && !a.apart {
		a.find(a.vouch+1, last, "events %d to %d are not signed: no checkpoint follows them", a.vouch+1, last)
	}
	return report, nil
}

// line takes the line of an event.
func (a *auditor) line(x *exportEvent) {
	raw := compact(x.Event)
	var e store.Event
	if err := json.Unmarshal(raw, &e); err != nil {
		a.find(a.expect, a.expect, "event %d was changed: it cannot be read", a.expect)
		e.Seq, e.Epoch, e.Device = a.expect, a.epoch, a.device
	}
	a.event(&e, raw, x.Hash)
	if x.Personal == nil {
		return
	}
	nonce, err := base64.StdEncoding.DecodeString(x.Nonce)
	digest := sha256.Sum256(append(nonce, compact(x.Personal)...))
	if err != nil || !bytes.Equal(digest[:], e.Personal) {
		a.find(e.Seq, e.Seq, "the personal part of event %d was changed", e.Seq)
	}
}

// compact undoes what an editor or a printer has done to the layout of JSON whose
// bytes count. What is no JSON becomes nothing.
func compact(b json.RawMessage) []byte {
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return nil
	}
	return out.Bytes()
}

// mark holds a checkpoint against what was read so far.
func (a *auditor) mark(c Checkpoint) {
	switch {
	case c.Size >= a.expect:
		a.missing(a.expect, c.Size)
	case a.lost || c.Size < a.tree.Size():
	default:
		a.marks = []Checkpoint{c}
		a.meet()
	}
}
