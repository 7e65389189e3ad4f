package verify_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// fullStore refuses Updates as a store does whose disk is full: those that are
// not essential, or all.
type fullStore struct {
	store.Store
	reserve, spent bool
}

func (s *fullStore) Update(ctx context.Context, c store.Cause, fn func(*store.Tx) error) error {
	if s.spent || s.reserve && !c.Essential {
		return store.ErrFull
	}
	return s.Store.Update(ctx, c, fn)
}

// TestDiskFull: on a full disk decisions are recorded from the reserve; when that
// is spent they are denied or given, as the policy says, and counted, through
// restarts too, until an event tells.
func TestDiskFull(t *testing.T) {
	for name, allow := range map[string]bool{"denied": false, "allowed": true} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			p := b.person(1)
			full := &fullStore{Store: b.store}
			file := filepath.Join(t.TempDir(), "gap")
			start := func() *verify.Service {
				s, err := verify.New(t.Context(), verify.Config{Store: full, Engine: b.engine, Calibration: b.calibration, AllowWhenFull: allow, GapFile: file})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			s := start()
			defer func() { s.Close() }()
			check := func(wantErr bool) {
				t.Helper()
				r, err := s.Verify(t.Context(), verify.VerifyRequest{Cause: cause, Merchant: b.merchant, Person: p, Image: of(1)})
				if wantErr != errors.Is(err, store.ErrFull) || r.Match == wantErr {
					t.Errorf("match %v, %v", r.Match, err)
				}
			}
			gaps := func() (list []store.Event) {
				t.Helper()
				for _, e := range all(b, store.EventsByMerchant) {
					if e.Kind == store.EventGap {
						list = append(list, e)
					}
				}
				return list
			}
			full.reserve = true
			check(false)
			full.spent = true
			check(!allow)
			check(!allow)
			// What has to be kept with a decision is not lost: without it there is none.
			_, err := s.Verify(t.Context(), verify.VerifyRequest{Cause: cause, Merchant: b.merchant, Person: p, Image: of(1),
				Also: func(*store.Tx, verify.Result) error { return nil }})
			if !errors.Is(err, store.ErrFull) {
				t.Errorf("with something to keep: error %v, want ErrFull", err)
			}
			s.Close()
			s = start()
			if len(gaps()) > 0 {
				t.Error("a gap is told before there is room")
			}
			full.spent = false
			check(false)
			check(false)
			got := gaps()
			want := map[string]float64{"allowed": 2, "denied": 1}
			if !allow {
				want = map[string]float64{"allowed": 0, "denied": 3}
			}
			if len(got) != 1 || got[0].Counters["allowed"] != want["allowed"] || got[0].Counters["denied"] != want["denied"] ||
				got[0].Counters["since"] == 0 || got[0].Counters["until"] < got[0].Counters["since"] {
				t.Errorf("gaps %+v, want one with %v", got, want)
			}
			s.Close()
			s = start()
			check(false)
			if n := len(gaps()); n != 1 {
				t.Errorf("the gap is told %d times", n)
			}
		})
	}
}

// TestGapFile: whatever lies in the file, the service starts.
func TestGapFile(t *testing.T) {
	b := newBox(t)
	for _, content := range []string{"", "x", `{"denied":-1}`, `{"denied":1}`, string(make([]byte, 1000))} {
		file := filepath.Join(t.TempDir(), "gap")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := verify.New(t.Context(), verify.Config{Store: b.store, Engine: b.engine, Calibration: b.calibration, GapFile: file})
		if err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		s.Close()
		if st, err := os.Stat(file); err != nil || st.Size() < 256 {
			t.Errorf("%q: a file of %d bytes, %v", content, st.Size(), err)
		}
	}
}
