package camera

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cypherface/edge/internal/picture"
)

// Frames a second where neither the URL nor the clip names a rate.
const (
	stillFPS  = 10 // a still is repeated like a camera that sees the same
	clipFPS   = 30
	folderFPS = 1
)

var errNoFrames = errors.New("no complete picture in it")

// openFile is the driver of file: a JPEG or PNG, concatenated JPEGs, or YUV4MPEG2.
func openFile(_ context.Context, u *url.URL) (Source, error) {
	p, path, err := located(u)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &Fault{"open", Redact(u), err, "relative names start at the folder the program runs in"}
	}
	c, err := fileClip(f, p)
	if err != nil {
		f.Close()
		return nil, &Fault{"open", Redact(u), err, "file: takes a JPEG, a PNG, JPEGs one after another (MJPEG) or YUV4MPEG2 (.y4m)"}
	}
	c.name, c.owner = Redact(u), f
	return c, nil
}

// located reads what file: and dir: have in common.
func located(u *url.URL) (Params, string, error) {
	p, err := ParseParams(u, "fps")
	if err != nil {
		return p, "", err
	}
	path, err := Path(u)
	if err == nil && path == "" {
		err = badURL(u, "names nothing", "write "+u.Scheme+":PATH")
	}
	return p, path, err
}

// fileClip looks at what f begins with.
func fileClip(f *os.File, p Params) (*clip, error) {
	magic := make([]byte, len(y4mMagic))
	n, err := io.ReadFull(f, magic)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic[:n], []byte(y4mMagic)):
		return y4mClip(f, p)
	case bytes.HasPrefix(magic[:n], []byte{0xff, markSOI}):
		spans, err := indexMJPEG(f)
		if err != nil {
			return nil, err
		}
		if len(spans) != 1 {
			return mjpegClip(f, spans, p)
		}
	}
	return stillClip(f, p)
}

func y4mClip(f *os.File, p Params) (*clip, error) {
	y, err := indexY4M(f)
	if err != nil {
		return nil, err
	}
	if len(y.spans) == 0 {
		return nil, errNoFrames
	}
	return &clip{n: len(y.spans), pace: pace{every: p.period(y.every, clipFPS)},
		load: func(i int, into *image.YCbCr) (*image.YCbCr, error) { return y.load(f, i, into) }}, nil
}

func mjpegClip(f *os.File, spans []span, p Params) (*clip, error) {
	if len(spans) == 0 {
		return nil, errNoFrames
	}
	var raw []byte
	load := func(i int, into *image.YCbCr) (*image.YCbCr, error) {
		raw = slices.Grow(raw[:0], spans[i].n)[:spans[i].n]
		if _, err := f.ReadAt(raw, spans[i].off); err != nil {
			return nil, fmt.Errorf("read JPEG frame: %w", err)
		}
		whole, err := CompleteJPEG(raw)
		if err != nil {
			return nil, err
		}
		return picture.DecodeJPEG(whole, into, picture.Limits{Bytes: maxJPEG})
	}
	return &clip{n: len(spans), load: load, pace: pace{every: p.period(0, clipFPS)}}, nil
}

// stillClip decodes once and plays the same picture for ever.
func stillClip(f *os.File, p Params) (*clip, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	img, err := still(f)
	if err != nil {
		return nil, err
	}
	return &clip{n: 1, pace: pace{every: p.period(0, stillFPS)},
		load: func(int, *image.YCbCr) (*image.YCbCr, error) { return img, nil }}, nil
}

// still decodes a picture and turns it upright.
func still(r io.Reader) (*image.YCbCr, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxJPEG+1))
	if err != nil {
		return nil, err
	}
	pic, err := picture.Decode(b, picture.Limits{Bytes: maxJPEG})
	if err != nil {
		return nil, err
	}
	return toYCbCr(pic.Image), nil
}

// openDir is the driver of dir: the pictures of a folder, by name. It reads the
// list of names once.
func openDir(_ context.Context, u *url.URL) (Source, error) {
	p, path, err := located(u)
	if err != nil {
		return nil, err
	}
	names, err := pictures(path)
	if err == nil && len(names) == 0 {
		err = errNoFrames
	}
	if err != nil {
		return nil, &Fault{"open", Redact(u), err, "dir: takes a folder with .jpg, .jpeg or .png files"}
	}
	load := func(i int, _ *image.YCbCr) (*image.YCbCr, error) {
		f, err := os.Open(names[i])
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return still(f)
	}
	return &clip{name: Redact(u), n: len(names), load: load, pace: pace{every: p.period(0, folderFPS)}}, nil
}

// pictures lists the picture files of a folder by name.
func pictures(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".jpg", ".jpeg", ".png":
			if !e.IsDir() {
				names = append(names, filepath.Join(dir, e.Name()))
			}
		}
	}
	return names, nil
}
