package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/cypherface/edge/store"
)

// raw lets fn at the closed store, past all rules.
func (w *world) raw(fn func(events *bbolt.Bucket)) {
	w.Helper()
	db, err := bbolt.Open(w.path(), 0o600, nil)
	w.must(err)
	w.must(db.Update(func(tx *bbolt.Tx) error { fn(tx.Bucket([]byte("record.event"))); return nil }))
	w.must(db.Close())
}

func seqKey(seq uint64) []byte { return []byte{0, 0, 0, 0, 0, 0, byte(seq >> 8), byte(seq)} }

// reseal puts an event that is changed, as one who has the keys can.
func (w *world) reseal(b *bbolt.Bucket, s store.Sealer, from, to uint64) {
	w.Helper()
	at := store.Place{Bucket: "record.event", Key: seqKey(from)}
	plain, err := s.Open(at, b.Get(at.Key))
	w.must(err)
	if from == to {
		plain = bytes.Replace(plain, []byte(`"epoch":1,`), []byte(`"epoch":1 `), 1)
		plain = bytes.Replace(plain, []byte(`"similarity":`), []byte(`"similaritY":`), 1)
		plain = bytes.Replace(plain, []byte(`"epoch":1 `), []byte(`"epoch":1,`), 1)
	}
	at.Key = seqKey(to)
	sealed, err := s.Seal(at, plain)
	w.must(err)
	w.must(b.Put(at.Key, sealed))
}

// TestTampering changes the log in every way, and looks for the finding that names
// what was changed. The first 200 events lie in periods of 100, then come 60 in
// the store; checkpoints are over 100, 200 and all.
func TestTampering(t *testing.T) {
	for name, tt := range map[string]struct {
		tamper func(w *world, s store.Sealer)
		want   string // a finding matches it
		at     uint64 // number of the first event of that finding; 0: any
	}{
		"nothing": {func(*world, store.Sealer) {}, "", 0},
		"event in the store, without the keys": {func(w *world, s store.Sealer) {
			w.raw(func(b *bbolt.Bucket) {
				v := bytes.Clone(b.Get(seqKey(230)))
				v[len(v)-1]++
				w.must(b.Put(seqKey(230), v))
			})
		}, "cannot be read: .*event 230", 230},
		"event in the store, with the keys": {func(w *world, s store.Sealer) {
			w.raw(func(b *bbolt.Bucket) { w.reseal(b, s, 230, 230) })
		}, "event of 201 to 260 was changed", 201},
		"event missing in the store": {func(w *world, s store.Sealer) {
			w.raw(func(b *bbolt.Bucket) { w.must(b.Delete(seqKey(230))) })
		}, "event 230 is missing", 230},
		"events missing at the end": {func(w *world, s store.Sealer) {
			w.raw(func(b *bbolt.Bucket) { w.must(errors.Join(b.Delete(seqKey(259)), b.Delete(seqKey(260)))) })
		}, "events 259 to 260 are missing", 259},
		"events swapped": {func(w *world, s store.Sealer) {
			w.raw(func(b *bbolt.Bucket) {
				third := bytes.Clone(b.Get(seqKey(230)))
				w.reseal(b, s, 231, 230)
				plain, err := s.Open(store.Place{Bucket: "record.event", Key: seqKey(230)}, third)
				w.must(err)
				sealed, err := s.Seal(store.Place{Bucket: "record.event", Key: seqKey(231)}, plain)
				w.must(errors.Join(err, b.Put(seqKey(231), sealed)))
			})
		}, "event 230 is out of order", 230},
		"byte of a period": {func(w *world, s store.Sealer) {
			flip(w, w.periodFiles()[1], 5000)
		}, "events 101 to 200 cannot be read", 101},
		"index of a period": {func(w *world, s store.Sealer) {
			st, err := os.Stat(w.periodFiles()[0])
			w.must(err)
			flip(w, w.periodFiles()[0], st.Size()-int64(trailerLen)-10)
		}, "events 1 to 100 cannot be read: .*index", 1},
		"period cut": {func(w *world, s store.Sealer) {
			w.must(os.Truncate(w.periodFiles()[0], 3000))
		}, "events 1 to 100 cannot be read: .*cut", 1},
		"period missing": {func(w *world, s store.Sealer) {
			w.must(os.Remove(w.periodFiles()[1]))
		}, "events 101 to 200 are missing", 101},
		"period in place of another": {func(w *world, s store.Sealer) {
			w.copyTo(w.periodFiles()[0], w.periodFiles()[1])
		}, "events 101 to 200 cannot be read", 101},
		"event of a period, with the keys": {func(w *world, s store.Sealer) {
			forgePeriod(w, s, w.periodFiles()[1], 150, false)
		}, "event 150 was changed", 150},
		"event of a period and its hash": {func(w *world, s store.Sealer) {
			forgePeriod(w, s, w.periodFiles()[1], 150, true)
		}, "event of 101 to 200 was changed, or the log is forked", 101},
		"checkpoint forged": {func(w *world, s store.Sealer) {
			b, err := os.ReadFile(w.log.notesPath(1))
			w.must(err)
			w.must(os.WriteFile(w.log.notesPath(1), bytes.Replace(b, []byte(`\n200\n`), []byte(`\n201\n`), 1), 0o600))
		}, "1 checkpoints are not signed by this box", 0},
		"older copy put back": {func(w *world, s store.Sealer) {
			w.copyTo(filepath.Join(w.dir, "older.db"), w.path())
			w.must(os.Remove(w.periodFiles()[1]))
		}, "is forked|missing at the end", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 100)
			w.append(99) // and the secret
			_, err := w.log.Checkpoint(t.Context())
			w.must(err)
			w.append(20)
			w.must(w.store.Copy(t.Context(), filepath.Join(w.dir, "older.db")))
			w.append(80)
			_, err = w.log.Checkpoint(t.Context())
			w.must(err)
			w.must(w.log.Archive(t.Context()))
			w.append(60)
			sealer := w.log.sealer
			w.closeAll()
			tt.tamper(w, sealer)
			w.open(0)
			found := w.verify().Findings
			if tt.want == "" {
				if len(found) > 0 {
					t.Errorf("findings %+v", found)
				}
				return
			}
			is := func(f Finding) bool {
				return regexp.MustCompile(tt.want).MatchString(f.What) && (tt.at == 0 || f.From == tt.at)
			}
			if !slices.ContainsFunc(found, is) || len(found) > 3 {
				t.Errorf("findings %+v, want one of event %d like %q, and few others", found, tt.at, tt.want)
			}
		})
	}
}

func flip(w *world, path string, at int64) {
	w.Helper()
	b, err := os.ReadFile(path)
	w.must(err)
	b[at] ^= 1
	w.must(os.WriteFile(path, b, 0o600))
}

// forgePeriod writes a period anew with one event changed, and its hash if asked.
func forgePeriod(w *world, s store.Sealer, path string, seq uint64, hashToo bool) {
	w.Helper()
	id := store.PeriodID(strings.TrimSuffix(filepath.Base(path), periodSuffix))
	f, err := openPeriod(w.auditDir(), id, s)
	w.must(err)
	var events []store.Envelope
	var hashes []store.Hash
	for i := range f.index {
		es, hs, err := f.block(i)
		w.must(err)
		events, hashes = append(events, es...), append(hashes, hs...)
	}
	w.must(f.close())
	at := seq - events[0].Seq
	e := &events[at]
	e.Raw = bytes.Replace(e.Raw, []byte(`"similarity":`), []byte(`"similaritY":`), 1)
	if hashToo {
		hashes[at] = store.LeafHash(e.Raw)
	}
	out, err := os.Create(path)
	w.must(err)
	p := &periodWriter{file: out, sealer: s, period: store.Period{ID: id}}
	w.must(errors.Join(p.put([]byte(periodMagic)), p.add(events, hashes), p.finish(), out.Close()))
}

// TestFork: a log that was set back and went on another way is found out by a
// checkpoint that somebody has kept.
func TestFork(t *testing.T) {
	w := newWorld(t, 100)
	w.append(50)
	w.must(w.store.Copy(t.Context(), filepath.Join(w.dir, "older.db")))
	w.append(20)
	kept, err := w.log.Checkpoint(t.Context())
	w.must(err)
	w.crash()
	w.copyTo(filepath.Join(w.dir, "older.db"), w.path())
	w.must(os.Remove(w.log.notesPath(1))) // thorough
	w.open(0)
	w.append(30)
	w.clean()
	found := w.verify(kept.Note).Findings
	if len(found) != 1 || !strings.Contains(found[0].What, "forked") || found[0].To != kept.Size {
		t.Errorf("findings %+v, want the fork at %d", found, kept.Size)
	}
	if _, err := w.log.Verify(t.Context(), VerifyOptions{Checkpoints: []string{strings.Replace(kept.Note, "\n71\n", "\n72\n", 1)}}); !errors.Is(err, ErrUntrue) {
		t.Errorf("forged checkpoint: error %v, want ErrUntrue", err)
	}
}

// TestRollback: a store older than its last checkpoint says so in the journal.
func TestRollback(t *testing.T) {
	w := newWorld(t, 100)
	w.append(50)
	w.must(w.store.Copy(t.Context(), filepath.Join(w.dir, "older.db")))
	w.append(20)
	w.closeAll()
	w.copyTo(filepath.Join(w.dir, "older.db"), w.path())
	w.open(0)
	all := w.all(Query{Limit: 1})
	if e := all[0]; e.Action != "rollback" || e.Counters["events"] != 51 || e.Counters["signed"] != 71 {
		t.Errorf("the last event is %+v", e.Event)
	}
}

func export(t *testing.T, w *world, opt ExportOptions) (string, Report) {
	t.Helper()
	var b bytes.Buffer
	w.must(w.log.Export(t.Context(), &b, opt))
	r, err := VerifyExport(bytes.NewReader(b.Bytes()), w.log.Key())
	w.must(err)
	return b.String(), r
}

// TestExport writes exports of parts of the log, and tampers with one.
func TestExport(t *testing.T) {
	w := newWorld(t, 100)
	var mid store.Event
	for i := range 4 {
		w.append(80)
		if i == 2 {
			mid = w.all(Query{Limit: 40})[39].Event
		}
		w.must(w.log.Tend(t.Context()))
	}
	w.tend()
	for name, tt := range map[string]struct {
		opt   ExportOptions
		count uint64 // 0: unknown
	}{
		"all":        {ExportOptions{}, w.head()},
		"personal":   {ExportOptions{Personal: true}, w.head()},
		"from":       {ExportOptions{From: mid.Time}, w.head() - mid.Seq + 1},
		"to":         {ExportOptions{To: mid.Time}, 0},
		"from to":    {ExportOptions{From: mid.Time, To: mid.Time.AddDate(0, 0, 1)}, 0},
		"of nothing": {ExportOptions{From: w.now.AddDate(1, 0, 0)}, 0},
	} {
		x, r := export(t, w, tt.opt)
		if len(r.Findings) > 0 || tt.count > 0 && r.Events != tt.count || r.Checkpoints == 0 {
			t.Errorf("%s: %d bytes, %+v, want %d events", name, len(x), r, tt.count)
		}
		if has := strings.Contains(x, "Lovelace"); has != tt.opt.Personal {
			t.Errorf("%s: personal parts %v", name, has)
		}
	}
	if _, err := VerifyExport(strings.NewReader("{}"), w.log.Key()); !errors.Is(err, ErrUntrue) {
		t.Errorf("no export: error %v, want ErrUntrue", err)
	}
	whole, _ := export(t, w, ExportOptions{Personal: true})
	lines := strings.Split(strings.TrimSuffix(whole, "\n"), "\n")
	line := slices.IndexFunc(lines, func(s string) bool { return strings.Contains(s, `"seq":123,`) })
	edit := func(old, new string) func([]string) []string {
		return func(ls []string) []string {
			ls[line] = strings.Replace(ls[line], old, new, 1)
			return ls
		}
	}
	personal := slices.IndexFunc(lines, func(s string) bool { return strings.Contains(s, `"personal":{`) })
	for name, tt := range map[string]struct {
		tamper func([]string) []string
		want   string
	}{
		"event":       {edit(`"kind":"`, `"kind":"x`), "event 123 was changed"},
		"number":      {edit(`"seq":123,`, `"seq":124,`), "event 123 was changed"},
		"no JSON":     {edit(`{`, ``), "event 123 .* cannot be read"},
		"removed":     {func(ls []string) []string { return slices.Delete(ls, line, line+1) }, "event 123 is missing"},
		"swapped":     {func(ls []string) []string { ls[line], ls[line+1] = ls[line+1], ls[line]; return ls }, "event 123 is missing"},
		"doubled":     {func(ls []string) []string { return slices.Insert(ls, line, ls[line]) }, "event 123 is out of order"},
		"end":         {func(ls []string) []string { return ls[:len(ls)-1] }, "not signed"},
		"event, hash": {func(ls []string) []string { ls[line] = forgeLine(t, ls[line]); return ls }, "event of .* was changed, or the log is forked"},
		"checkpoint": {func(ls []string) []string {
			return append(ls[:len(ls)-1], strings.Replace(ls[len(ls)-1], `\n\n`, `0\n\n`, 1))
		}, "not signed with the key"},
		"personal":     {func(ls []string) []string { ls[personal] = strings.Replace(ls[personal], "Ada", "Eve", 1); return ls }, "personal part of event .* was changed"},
		"first events": {func(ls []string) []string { return slices.Delete(ls, 1, 11) }, "events 1 to 10 are missing"},
	} {
		changed := strings.Join(tt.tamper(slices.Clone(lines)), "\n")
		r, err := VerifyExport(strings.NewReader(changed), w.log.Key())
		if err != nil || !slices.ContainsFunc(r.Findings, func(f Finding) bool { return regexp.MustCompile(tt.want).MatchString(f.What) }) {
			t.Errorf("%s: findings %+v, %v, want %q", name, r.Findings, err, tt.want)
		}
	}
	if r, err := VerifyExport(strings.NewReader(whole), otherKey); err != nil || len(r.Findings) == 0 {
		t.Errorf("another key: %+v, %v", r, err)
	}
}

// forgeLine changes an event of an export and gives it the hash it then has.
func forgeLine(t *testing.T, line string) string {
	t.Helper()
	var x exportEvent
	if err := json.Unmarshal([]byte(line), &x); err != nil {
		t.Fatal(err)
	}
	x.Event = bytes.Replace(x.Event, []byte(`"kind":"`), []byte(`"kind":"x`), 1)
	hash := store.LeafHash(x.Event)
	x.Hash = &hash
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCSV(t *testing.T) {
	w := newWorld(t, 100)
	w.must(w.store.Update(t.Context(), cause, func(tx *store.Tx) error {
		_, err := store.Append(tx, store.Event{Kind: store.EventDoor, Time: morning, Action: "=cmd()", Reasons: []string{"a", "b"},
			Counters: map[string]float64{"y": 2, "x": .5}}, nil)
		return err
	}))
	var b bytes.Buffer
	w.must(w.log.Export(t.Context(), &b, ExportOptions{Format: CSV}))
	lines := strings.Split(b.String(), "\n")
	want := "2,2026-11-26T08:00:00Z,door,'=cmd(),,a b,system,audit,,,,,,,x=0.5 y=2,,,,," + string(w.store.Info().Device) + ",1"
	if len(lines) != 4 || lines[2] != want || !strings.HasPrefix(lines[0], "seq,time,kind,") {
		t.Errorf("table\n%s, want its third line to be\n%s", b.String(), want)
	}
}
