package camera

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"
)

// tiny is the smallest stream the splitter takes for a JPEG: a segment whose
// content looks like an end, and entropy-coded data with stuffing and restarts.
var tiny = []byte{0xff, 0xd8,
	0xff, 0xe1, 0, 6, 0xff, 0xd9, 0xff, 0xd8, // a thumbnail's markers inside a segment
	0xff, 0xff, 0xda, 0, 2, 1, 2, 0xff, 0, 3, 0xff, 0xd3, 4, 0xff,
	0xff, 0xd9}

func TestJPEGEnds(t *testing.T) {
	cut := func(n int) []byte { return tiny[:n] }
	for _, test := range []struct {
		name string
		b    []byte
		n    int
		err  error
	}{
		{"whole", tiny, len(tiny), nil},
		{"with padding", append(bytes.Clone(tiny), 0, 0, 0xff, 0xd9), len(tiny), nil},
		{"without a scan", []byte{0xff, 0xd8, 0xff, 0xd9}, 4, nil},
		{"empty", nil, 0, errTruncated},
		{"half a start", cut(1), 0, errTruncated},
		{"in a segment", cut(9), 0, errTruncated},
		{"in a length", cut(5), 0, errTruncated},
		{"in the scan", cut(20), 0, errTruncated},
		{"in the last marker", cut(len(tiny) - 1), 0, errTruncated},
		{"text", []byte("no picture"), 0, errNoJPEG},
		{"no marker", []byte{0xff, 0xd8, 1, 2, 3, 4}, 0, errNoJPEG},
		{"start inside", []byte{0xff, 0xd8, 0xff, 0xd8, 0, 0}, 0, errNoJPEG},
		{"segment of one byte", []byte{0xff, 0xd8, 0xff, 0xe0, 0, 1, 0}, 0, errNoJPEG},
	} {
		l, err := layOut(test.b)
		if l.end != test.n || !errors.Is(err, test.err) {
			t.Errorf("%s: %d, %v; want %d, %v", test.name, l.end, err, test.n, test.err)
		}
	}
}

// Cameras send Motion JPEG without Huffman tables; the decoders want them.
func TestCompleteJPEGPutsTablesIn(t *testing.T) {
	img := image.NewYCbCr(image.Rect(0, 0, 40, 24), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = byte(7 * i)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	tables := bytes.Index(whole, usualTables())
	if len(usualTables()) != 420 || tables < 0 {
		t.Fatalf("tables of %d bytes at %d", len(usualTables()), tables)
	}
	bare := slices.Delete(bytes.Clone(whole), tables, tables+420)
	if _, err := jpeg.Decode(bytes.NewReader(bare)); err == nil {
		t.Log("Go's decoder has learnt to do without tables")
	}
	got, err := CompleteJPEG(append(bare, "padding"...))
	if err != nil {
		t.Fatal(err)
	}
	for name, frame := range map[string][]byte{"completed": got, "with its own tables": whole} {
		decoded, err := jpeg.Decode(bytes.NewReader(frame))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want, _ := jpeg.Decode(bytes.NewReader(whole)); !reflect.DeepEqual(decoded, want) {
			t.Errorf("%s: another picture", name)
		}
	}
	if same, err := CompleteJPEG(whole); err != nil || &same[0] != &whole[0] || len(same) != len(whole) {
		t.Errorf("a whole JPEG was copied: %v", err)
	}
}

// Frames lie where the index says, however the reader cuts the file.
func TestIndexMJPEG(t *testing.T) {
	var file []byte
	var want []span
	for i := range 5 {
		file = append(file, bytes.Repeat([]byte{0xff}, i)...) // what some cameras pad with
		want = append(want, span{int64(len(file)), len(tiny)})
		file = append(file, tiny...)
	}
	file = append(file, tiny[:20]...)
	for _, r := range []io.Reader{bytes.NewReader(file), oneByte{bytes.NewReader(file)}} {
		got, err := indexMJPEG(r)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("frame %d at %v, want %v", i, got[i], want[i])
			}
		}
	}
}

// oneByte reads a byte at a time.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

func FuzzIndexMJPEG(f *testing.F) {
	f.Add(tiny)
	f.Add(append(bytes.Clone(tiny), tiny[:20]...))
	f.Add([]byte{0xff, 0xd8, 0xff, 0xda, 0, 0, 0xff, 0xff, 0xd9})
	f.Fuzz(func(t *testing.T, b []byte) {
		spans, err := indexMJPEG(bytes.NewReader(b))
		if err != nil {
			return
		}
		end := int64(0)
		for _, s := range spans {
			if s.off < end || s.off+int64(s.n) > int64(len(b)) {
				t.Fatalf("frame %v outside its file or over another", s)
			}
			end = s.off + int64(s.n)
			frame := b[s.off:end]
			if l, err := layOut(frame); l.end != len(frame) || err != nil {
				t.Fatalf("frame %v is no whole JPEG: %d, %v", s, l.end, err)
			}
			if _, err := CompleteJPEG(frame); err != nil {
				t.Fatalf("frame %v cannot be completed: %v", s, err)
			}
		}
	})
}

func TestParseY4M(t *testing.T) {
	for _, test := range []struct {
		line  string
		w, h  int
		every time.Duration
		ok    bool
	}{
		{"YUV4MPEG2 W640 H480 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG", 640, 480, 40 * time.Millisecond, true},
		{"YUV4MPEG2 W1  H1", 1, 1, 0, true},
		{"YUV4MPEG2 W2 H2 F0:0", 2, 2, 0, true},
		{"YUV4MPEG2 W2 H2 F1000000:1", 2, 2, 0, true},
		{"YUV4MPEG2 W2 H2 Fx", 2, 2, 0, true},
		{"YUV4MPEG2 W-2 H2", 0, 0, 0, false},
		{"YUV4MPEG2 W2 H99999", 0, 0, 0, false},
		{"YUV4MPEG2 W2 H2 C411", 0, 0, 0, false},
		{"YUV4MPEG W2 H2", 0, 0, 0, false},
	} {
		y, err := parseY4M(test.line)
		if (err == nil) != test.ok || err != nil && !errors.Is(err, errY4M) {
			t.Errorf("%s: %v", test.line, err)
			continue
		}
		if test.ok && (y.w != test.w || y.h != test.h || y.every != test.every) {
			t.Errorf("%s: %+v", test.line, y)
		}
	}
}

func FuzzIndexY4M(f *testing.F) {
	f.Add([]byte("YUV4MPEG2 W4 H2 F10:1 Cmono\nFRAME\n12345678FRAME\n1234"))
	f.Add([]byte("YUV4MPEG2 W3 H3 C420jpeg\nFRAME Ip\n12345678901234567890"))
	f.Add([]byte("YUV4MPEG2 W8192 H8192 C444\nFRAME\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		y, err := indexY4M(bytes.NewReader(b))
		if err != nil {
			return
		}
		for i := range y.spans {
			img, err := y.load(bytes.NewReader(b), i, nil)
			if err != nil {
				t.Fatalf("frame %d of %d: %v", i, len(y.spans), err)
			}
			if img.Rect.Dx() != y.w || img.Rect.Dy() != y.h {
				t.Fatalf("frame of %v, header says %d×%d", img.Rect, y.w, y.h)
			}
		}
	})
}

// What a stream of frames brings is a picture of the announced size or an error.
func FuzzReadY4M(f *testing.F) {
	f.Add([]byte("YUV4MPEG2 W4 H2 F10:1 Cmono\nFRAME\n12345678FRAME\n1234"))
	f.Add([]byte("YUV4MPEG2 W3 H3 C420jpeg\nFRAME Ip\n12345678901234567890"))
	f.Add([]byte("YUV4MPEG2 W2 H2\nFRAME\n123456NOFRAME"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadY4M(bytes.NewReader(b))
		if err != nil {
			return
		}
		var raw []byte
		var img *image.YCbCr
		for range 5 {
			if raw, err = r.Next(raw); err != nil {
				return
			}
			if img, err = r.Image(raw, img); err != nil || img.Rect.Dx() != r.clip.w || img.Rect.Dy() != r.clip.h {
				t.Fatalf("a frame of %d bytes: %v, %v", len(raw), img.Rect, err)
			}
		}
	})
}
