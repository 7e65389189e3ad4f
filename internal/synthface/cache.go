package synthface

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// clipCache is a folder of clips. Several caches, in several processes, may
// use one folder: clips are written beside and renamed, and equal keys mean
// equal clips.
type clipCache struct {
	dir   string
	limit int64 // bytes that clips may take
}

// defaultCacheLimit holds the whole cast with room to spare: at 640×480 and 10
// frames a second a visitor takes about 3 MB.
const defaultCacheLimit = 400 << 20

// openCache makes the folder where it is missing, and removes from it the
// clips of other renditions and what crashes have left.
func openCache(dir string, limit int64) (*clipCache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open clip cache: %w", err)
	}
	c := &clipCache{dir: dir, limit: limit}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open clip cache: %w", err)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasSuffix(name, ".clip") && !strings.HasPrefix(name, clipPrefix()):
			os.Remove(filepath.Join(dir, name))
		case strings.HasSuffix(name, ".clip.tmp"):
			// Perhaps another process is writing it just now.
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > time.Hour {
				os.Remove(filepath.Join(dir, name))
			}
		}
	}
	return c, nil
}

// load reads a clip. A damaged one is removed and reported as missing.
func (c *clipCache) load(k clipKey) (clip, error) {
	path := filepath.Join(c.dir, k.file())
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load clip: %w", err)
	}
	got, err := decodeClip(b)
	if err == nil && len(got) != k.act.frames(k.fps) {
		err = fmt.Errorf("%w: %d frames", errDamagedClip, len(got))
	}
	if err != nil {
		os.Remove(path)
		return nil, fmt.Errorf("load clip %s: %w: %w", k.file(), err, fs.ErrNotExist)
	}
	return got, nil
}

// store writes a clip: all of it, or nothing.
func (c *clipCache) store(k clipKey, film clip) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("store clip: %w", err)
		}
	}()
	f, err := os.CreateTemp(c.dir, "*.clip.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has been renamed
	_, werr := f.Write(film.encode())
	serr := f.Sync()
	if err := errors.Join(werr, serr, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(c.dir, k.file()))
}

// cached says whether a clip's file is there; it may still be damaged.
func (c *clipCache) cached(k clipKey) bool {
	_, err := os.Stat(filepath.Join(c.dir, k.file()))
	return err == nil
}

// fetch loads a clip or, where there is none, films and stores it.
func (c *clipCache) fetch(ctx context.Context, k clipKey, film func(context.Context) (clip, error)) (clip, error) {
	if got, err := c.load(k); err == nil {
		return got, nil
	}
	got, err := film(ctx)
	if err != nil {
		return nil, err
	}
	return got, c.store(k, got)
}

// prune removes the oldest clips that are not wanted until the rest fits the
// limit.
func (c *clipCache) prune(wanted func(file string) bool) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return // the next store will say what is wrong with the folder
	}
	var spare []fs.FileInfo
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasSuffix(e.Name(), ".clip") {
			continue
		}
		total += info.Size()
		if !wanted(e.Name()) {
			spare = append(spare, info)
		}
	}
	slices.SortFunc(spare, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range spare {
		if total <= c.limit {
			return
		}
		if os.Remove(filepath.Join(c.dir, info.Name())) == nil {
			total -= info.Size()
		}
	}
}
