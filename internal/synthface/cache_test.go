package synthface

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var someKey = clipKey{person: 3, act: Nod, width: 64, height: 48, fps: 1}

func newCache(t *testing.T) *clipCache {
	t.Helper()
	c, err := openCache(filepath.Join(t.TempDir(), "clips"), defaultCacheLimit)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func files(t *testing.T, c *clipCache) []string {
	t.Helper()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestCacheFetchesOnce(t *testing.T) {
	c := newCache(t)
	made := 0
	make := func(context.Context) (clip, error) { made++; return tinyClip(t, 2, 50), nil }
	for range 3 {
		if got, err := c.fetch(t.Context(), someKey, make); err != nil || len(got) != 2 {
			t.Fatalf("%d frames, %v", len(got), err)
		}
	}
	if made != 1 {
		t.Errorf("filmed %d times", made)
	}
}

func TestCacheRendersDamagedClipsAgain(t *testing.T) {
	for name, harm := range map[string]func([]byte) []byte{
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"cut":     func(b []byte) []byte { return b[:len(b)/3] },
		"emptied": func([]byte) []byte { return nil },
		"of another length": func([]byte) []byte {
			return tinyClip(t, 5, 50).encode()
		},
	} {
		c := newCache(t)
		if err := c.store(someKey, tinyClip(t, 2, 50)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(c.dir, someKey.file())
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, harm(b), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := c.load(someKey); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: load says %v", name, err)
		}
		made := false
		got, err := c.fetch(t.Context(), someKey, func(context.Context) (clip, error) { made = true; return tinyClip(t, 2, 60), nil })
		if err != nil || !made || len(got) != 2 {
			t.Errorf("%s: filmed again %v, %v", name, made, err)
		}
		if _, err := c.load(someKey); err != nil {
			t.Errorf("%s: after filming again: %v", name, err)
		}
	}
}

func TestCacheLeavesNothingHalf(t *testing.T) {
	c := newCache(t)
	ctx, cancel := context.WithCancel(t.Context())
	k := clipKey{person: ada.Seed, act: Look, width: 64, height: 48, fps: 4}
	frames := 0
	_, err := c.fetch(ctx, k, func(ctx context.Context) (clip, error) {
		return film(ctx, k, ada, func() {
			if frames++; frames == 3 {
				cancel()
			}
		})
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled in the middle: %v", err)
	}
	if left := files(t, c); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCacheCleansUp(t *testing.T) {
	c := newCache(t)
	old := time.Now().Add(-2 * time.Hour)
	for name, when := range map[string]time.Time{
		"r0-3-nod-64x48-1-0.clip": time.Now(), // of an older rendition
		someKey.file():            old,
		"1.clip.tmp":              old,        // of a crash
		"2.clip.tmp":              time.Now(), // being written
		"notes.txt":               old,        // not ours
	} {
		path := filepath.Join(c.dir, name)
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openCache(c.dir, 1); err != nil {
		t.Fatal(err)
	}
	left := files(t, c)
	if len(left) != 3 || left[0] != "2.clip.tmp" || left[1] != "notes.txt" || left[2] != someKey.file() {
		t.Errorf("left: %v", left)
	}
}

func TestCachePrunesTheOldest(t *testing.T) {
	c := newCache(t)
	for room := range int64(5) {
		k := someKey
		k.room = room
		if err := c.store(k, tinyClip(t, 2, 50)); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(time.Duration(room-10) * time.Hour)
		if err := os.Chtimes(filepath.Join(c.dir, k.file()), when, when); err != nil {
			t.Fatal(err)
		}
	}
	c.limit = int64(3 * len(tinyClip(t, 2, 50).encode()))
	c.prune(func(file string) bool { return file == someKey.file() }) // room 0, the oldest, is wanted
	left := files(t, c)
	if len(left) != 3 || left[0] != someKey.file() {
		t.Errorf("left: %v", left)
	}
}

func TestCacheIsSharedBySeveral(t *testing.T) {
	a := newCache(t)
	b, err := openCache(a.dir, defaultCacheLimit)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var failed atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			c := []*clipCache{a, b}[i%2]
			for room := range int64(6) {
				k := someKey
				k.room = room
				got, err := c.fetch(t.Context(), k, func(context.Context) (clip, error) { return tinyClip(t, 2, uint8(room)), nil })
				if err != nil || len(got) != 2 {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n != 0 {
		t.Errorf("%d fetches failed", n)
	}
	if left := files(t, a); len(left) != 6 {
		t.Errorf("left: %v", left)
	}
}

func TestCacheSaysWhatFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openCache(filepath.Join(file, "clips"), 1); err == nil {
		t.Error("a folder inside a file was made")
	}
	c := &clipCache{dir: filepath.Join(t.TempDir(), "gone")}
	if err := c.store(someKey, tinyClip(t, 2, 1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("store into no folder: %v", err)
	}
	boom := errors.New("boom")
	if _, err := c.fetch(t.Context(), someKey, func(context.Context) (clip, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("fetch: %v", err)
	}
}

func TestClipNames(t *testing.T) {
	seen := map[string]clipKey{}
	for _, k := range []clipKey{
		someKey, {person: 4, act: Nod, width: 64, height: 48, fps: 1}, {person: 3, act: Blink, width: 64, height: 48, fps: 1},
		{person: 3, attack: printAttack, act: Nod, width: 64, height: 48, fps: 1}, {person: 3, act: Nod, width: 65, height: 48, fps: 1},
		{person: 3, act: Nod, width: 64, height: 48, fps: 2}, {person: 3, act: Nod, width: 64, height: 48, fps: 1, room: 1},
	} {
		if other, ok := seen[k.file()]; ok {
			t.Errorf("%+v and %+v are both %s", k, other, k.file())
		}
		seen[k.file()] = k
	}
}
