package verify_test

import (
	"context"
	"errors"
	"image"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/verify"
)

// pool is an engine whose networks take 20 ms and of which so many run at a time,
// handed out as engine/tflite does.
type pool struct {
	fakeEngine
	slots chan struct{}
}

func (p *pool) Detect(ctx context.Context, _ image.Image) ([]engine.Face, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.slots:
	}
	time.Sleep(20 * time.Millisecond)
	p.slots <- struct{}{}
	return nil, nil
}

// beat is a camera with a frame each so often, which drops what nobody fetches; 0:
// it is dead and never gives one.
type beat struct {
	every time.Duration
	start time.Time
	seen  int
}

func (b *beat) Next(ctx context.Context) (camera.Frame, error) {
	if b.every == 0 {
		<-ctx.Done()
		return camera.Frame{}, ctx.Err()
	}
	if b.start.IsZero() {
		b.start = time.Now()
	}
	due := b.start.Add((time.Since(b.start)/b.every + 1) * b.every)
	select {
	case <-ctx.Done():
		return camera.Frame{}, ctx.Err()
	case <-time.After(time.Until(due)):
	}
	b.seen++
	return camera.Frame{Image: image.NewYCbCr(image.Rect(0, 0, 8, 8), image.YCbCrSubsampleRatio420), Time: time.Now()}, nil
}

func (b *beat) Close() error { return nil }

// watched has cameras share a pool for a minute, and returns how many frames of
// each were worked off.
func watched(t *testing.T, slots int, cameras ...*beat) []int {
	p := &pool{fakeEngine: fakeEngine{space: "one"}}
	b := newBoxOver(t, p, calibration())
	s := b.Service
	synctest.Test(t, func(t *testing.T) {
		p.slots = make(chan struct{}, slots)
		for range slots {
			p.slots <- struct{}{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var group sync.WaitGroup
		for _, c := range cameras {
			group.Go(func() {
				if err := s.Run(ctx, c, verify.DoorConfig{Merchant: b.merchant}); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
	var seen []int
	for _, c := range cameras {
		seen = append(seen, c.seen)
	}
	return seen
}

const fast, slow, dead = time.Second / 30, time.Second, time.Duration(0)

// A slow camera and a dead one take nothing from another's decisions.
func TestSlowAndDeadCamerasSlowNobody(t *testing.T) {
	alone := watched(t, 2, &beat{every: fast})
	with := watched(t, 2, &beat{every: fast}, &beat{every: slow}, &beat{every: dead}, &beat{every: dead})
	t.Logf("frames worked off in a minute: alone %v, beside a slow and two dead cameras %v", alone, with)
	if with[0] < alone[0]*98/100 || with[1] < 58 || with[2] != 0 {
		t.Errorf("worked off %v, alone %v", with, alone)
	}
}

// Where there is less than all could use, each has the same share, and a slow one
// all that it can use.
func TestCamerasShareFairly(t *testing.T) {
	for _, slots := range []int{1, 2} {
		seen := watched(t, slots, &beat{every: fast}, &beat{every: fast}, &beat{every: fast}, &beat{every: slow}, &beat{every: fast})
		t.Logf("%d at a time: %v frames", slots, seen)
		fair := (60*50*slots - 60) / 4
		for i, n := range seen {
			if i == 3 && n < 57 || i != 3 && (n < fair*85/100 || n > fair*115/100+1) {
				t.Errorf("%d at a time: %v frames, want about %d each and 60 of the slow one", slots, seen, fair)
			}
		}
	}
}
