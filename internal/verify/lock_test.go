package verify

import (
	"testing"
	"time"
)

func TestLockedUntil(t *testing.T) {
	at := func(seconds ...int) (all []time.Time) {
		for _, s := range seconds {
			all = append(all, time.Unix(int64(s), 0))
		}
		return all
	}
	for _, tt := range []struct {
		name   string
		failed []time.Time
		want   int
	}{
		{"none", nil, 0},
		{"four", at(1, 2, 3, 4), 0},
		{"five at once", at(1, 2, 3, 4, 5), 305},
		{"in any order", at(5, 1, 4, 2, 3), 305},
		{"five, too far apart", at(0, 50, 100, 150, 200), 0},
		{"five in three minutes", at(0, 50, 100, 150, 180), 480},
		{"the last five of six", at(0, 100, 150, 200, 250, 270), 570},
	} {
		got := LockedUntil(tt.failed, lockAfter, lockFor)
		if want := time.Unix(int64(tt.want), 0); tt.want > 0 && !got.Equal(want) || tt.want == 0 && !got.IsZero() {
			t.Errorf("%s: until %v", tt.name, got)
		}
	}
}
