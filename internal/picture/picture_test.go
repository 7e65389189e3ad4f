package picture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/color/palette"
	"image/png"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/cypherface/edge/internal/picture"
)

// slope is a smooth picture: a different slope in each component.
func slope(c, x, y int) float64 {
	switch c {
	case 0:
		return 60 + 2*float64(x) + float64(y)
	case 1:
		return 110 + float64(x)
	default:
		return 150 - float64(y)
	}
}

func TestJPEGKinds(t *testing.T) {
	full := [][2]int{{1, 1}, {1, 1}, {1, 1}}
	four := [][2]int{{1, 1}, {1, 1}, {1, 1}, {1, 1}}
	kinds := map[string]jpegFile{
		"4:4:4":             {sampling: full, adobe: -1},
		"4:2:2":             {sampling: [][2]int{{2, 1}, {1, 1}, {1, 1}}, adobe: -1},
		"4:2:0":             {sampling: [][2]int{{2, 2}, {1, 1}, {1, 1}}, adobe: -1},
		"4:4:0":             {sampling: [][2]int{{1, 2}, {1, 1}, {1, 1}}, adobe: -1},
		"4:1:1":             {sampling: [][2]int{{4, 1}, {1, 1}, {1, 1}}, adobe: -1},
		"grey":              {sampling: full[:1], adobe: -1},
		"progressive":       {sampling: [][2]int{{2, 2}, {1, 1}, {1, 1}}, progressive: true, adobe: -1},
		"progressive grey":  {sampling: full[:1], progressive: true, adobe: -1},
		"CMYK":              {sampling: four, adobe: 0},
		"YCCK":              {sampling: four, adobe: 2},
		"RGB":               {sampling: full, adobe: 0},
		"adobe YCbCr 4:2:0": {sampling: [][2]int{{2, 2}, {1, 1}, {1, 1}}, adobe: 1},
	}
	for name, f := range kinds {
		for _, size := range []image.Point{{1, 1}, {17, 9}, {40, 33}} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				f := f
				f.w, f.h, f.at = size.X, size.Y, slope
				b := f.encode()
				p, err := picture.Decode(b, picture.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if p.Format != "jpeg" || p.Image.Bounds().Size() != size {
					t.Fatalf("%s of %v", p.Format, p.Image.Bounds())
				}
				_, std, turboErr, err := picture.DecodeBoth(b)
				if err != nil {
					t.Fatalf("the standard library: %v", err)
				}
				if direct := len(f.sampling) < 4 && f.adobe != 0; direct && picture.Turbo() && turboErr != nil {
					t.Errorf("libjpeg-turbo: %v", turboErr)
				}
				for y := range size.Y {
					for x := range size.X {
						compareColor(t, p.Image, std, x, y, 6)
					}
				}
				if m, ok := p.Image.(*image.YCbCr); ok && f.adobe < 0 {
					for _, q := range []image.Point{{0, 0}, {size.X - 1, size.Y - 1}} {
						if got, want := float64(m.Y[m.YOffset(q.X, q.Y)]), slope(0, q.X, q.Y); got < want-3 || got > want+3 {
							t.Errorf("luma at %v: %v, want %v", q, got, want)
						}
					}
				}
			})
		}
	}
}

func compareColor(t *testing.T, a, b image.Image, x, y int, within uint32) {
	t.Helper()
	var v [2][4]uint32
	v[0][0], v[0][1], v[0][2], v[0][3] = a.At(x, y).RGBA()
	v[1][0], v[1][1], v[1][2], v[1][3] = b.At(x, y).RGBA()
	for i := range 4 {
		if d := max(v[0][i], v[1][i]) - min(v[0][i], v[1][i]); d > within<<8 {
			t.Fatalf("pixel (%d, %d): %v and %v", x, y, v[0], v[1])
		}
	}
}

func TestOrientation(t *testing.T) {
	// The upright picture is 32×16: dark above, and brighter to the right below.
	upright := func(x, y int) float64 {
		switch {
		case y < 8:
			return 40
		case x < 16:
			return 120
		}
		return 220
	}
	// stored is where the pixel of the upright picture lies in the file.
	stored := map[uint16]func(x, y int) (int, int){
		1: func(x, y int) (int, int) { return x, y },
		2: func(x, y int) (int, int) { return 31 - x, y },
		3: func(x, y int) (int, int) { return 31 - x, 15 - y },
		4: func(x, y int) (int, int) { return x, 15 - y },
		5: func(x, y int) (int, int) { return y, x },
		6: func(x, y int) (int, int) { return y, 31 - x },
		7: func(x, y int) (int, int) { return 15 - y, 31 - x },
		8: func(x, y int) (int, int) { return 15 - y, x },
	}
	samplings := map[string][][2]int{
		"grey":  {{1, 1}},
		"4:4:4": {{1, 1}, {1, 1}, {1, 1}},
		"4:2:2": {{2, 1}, {1, 1}, {1, 1}},
		"4:2:0": {{2, 2}, {1, 1}, {1, 1}},
		"4:1:1": {{4, 1}, {1, 1}, {1, 1}},
	}
	for name, sampling := range samplings {
		for o, at := range stored {
			for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
				t.Run(fmt.Sprint(name, o, order), func(t *testing.T) {
					var raw [32 * 32]float64
					for y := range 16 {
						for x := range 32 {
							sx, sy := at(x, y)
							raw[sy*32+sx] = upright(x, y)
						}
					}
					f := jpegFile{w: 32, h: 16, sampling: sampling, adobe: -1, exif: exif(order, o),
						at: func(c, x, y int) float64 {
							if c > 0 {
								return 255 - raw[y*32+x] // chroma must turn with luma
							}
							return raw[y*32+x]
						}}
					if o >= 5 {
						f.w, f.h = 16, 32
					}
					p, err := picture.Decode(f.encode(), picture.Limits{})
					if err != nil {
						t.Fatal(err)
					}
					if got := p.Image.Bounds(); got != image.Rect(0, 0, 32, 16) {
						t.Fatalf("bounds %v", got)
					}
					for _, q := range []image.Point{{2, 2}, {29, 2}, {2, 13}, {29, 13}} {
						want := upright(q.X, q.Y)
						if got := float64(color.GrayModel.Convert(gray(p.Image, q)).(color.Gray).Y); got < want-6 || got > want+6 {
							t.Errorf("luma at %v: %v, want %v", q, got, want)
						}
						if m, ok := p.Image.(*image.YCbCr); ok {
							if got := float64(m.Cb[m.COffset(q.X, q.Y)]); got < 255-want-6 || got > 255-want+6 {
								t.Errorf("chroma at %v: %v, want %v", q, got, 255-want)
							}
						}
					}
				})
			}
		}
	}
}

// gray is the luma of a pixel.
func gray(m image.Image, p image.Point) color.Color {
	if y, ok := m.(*image.YCbCr); ok {
		return color.Gray{Y: y.Y[y.YOffset(p.X, p.Y)]}
	}
	return m.At(p.X, p.Y)
}

func TestPNGKinds(t *testing.T) {
	r := image.Rect(0, 0, 9, 5)
	paint := func(m interface{ Set(x, y int, c color.Color) }, alpha uint8) {
		for y := range 5 {
			for x := range 9 {
				m.Set(x, y, color.NRGBA{uint8(20 * x), uint8(40 * y), 90, alpha})
			}
		}
	}
	images := map[string]image.Image{
		"grey": image.NewGray(r), "grey 16-bit": image.NewGray16(r), "colour": image.NewRGBA(r),
		"colour 16-bit": image.NewRGBA64(r), "alpha": image.NewNRGBA(r), "alpha 16-bit": image.NewNRGBA64(r),
		"palette": image.NewPaletted(r, palette.WebSafe), "two colours": image.NewPaletted(r, color.Palette{color.Black, color.White}),
		"palette with alpha": image.NewPaletted(r, color.Palette{color.Transparent, color.White}),
	}
	for name, m := range images {
		t.Run(name, func(t *testing.T) {
			alpha := uint8(255)
			if _, ok := m.(*image.NRGBA); ok {
				alpha = 128
			}
			paint(m.(interface{ Set(x, y int, c color.Color) }), alpha)
			var b bytes.Buffer
			if err := png.Encode(&b, m); err != nil {
				t.Fatal(err)
			}
			p, err := picture.Decode(append(b.Bytes(), "what follows"...), picture.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			switch p.Image.(type) {
			case *image.Gray, *image.NRGBA:
			default:
				t.Fatalf("image of type %T", p.Image)
			}
			for y := range 5 {
				for x := range 9 {
					compareColor(t, p.Image, m, x, y, 1)
				}
			}
		})
	}
	t.Run("interlaced", func(t *testing.T) {
		at := func(x, y int) byte { return byte(11*x + 17*y) }
		p, err := picture.Decode(pngFile(9, 5, 8, 0, 1, adam7(9, 5, at)), picture.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for y := range 5 {
			for x := range 9 {
				if got := p.Image.(*image.Gray).GrayAt(x, y).Y; got != at(x, y) {
					t.Fatalf("pixel (%d, %d) is %d, want %d", x, y, got, at(x, y))
				}
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	small := jpegFile{w: 16, h: 16, sampling: [][2]int{{1, 1}}, adobe: -1, at: slope}
	patch := func(b []byte, marker byte, at int, v ...byte) []byte {
		b = bytes.Clone(b)
		i := bytes.Index(b, []byte{0xFF, marker})
		copy(b[i+2+at:], v)
		return b
	}
	good := small.encode()
	sof := func(at int, v ...byte) []byte { return patch(good, 0xC0, at, v...) }
	scans := bytes.Clone(good[:len(good)-2])
	sos := good[bytes.Index(good, []byte{0xFF, 0xDA}):]
	for range 100 {
		scans = append(scans, sos[:len(sos)-2]...)
	}
	frame := good[bytes.Index(good, []byte{0xFF, 0xC0}):][:13]
	doubled := append(append(bytes.Clone(good[:len(good)-len(sos)]), frame...), sos...)
	tests := map[string]struct {
		file []byte
		lim  picture.Limits
		want error
	}{
		"nothing":                {nil, picture.Limits{}, picture.ErrFormat},
		"text":                   {[]byte("hello"), picture.Limits{}, picture.ErrFormat},
		"GIF":                    {[]byte("GIF89a"), picture.Limits{}, picture.ErrFormat},
		"only the magic":         {[]byte{0xFF, 0xD8, 0xFF}, picture.Limits{}, picture.ErrDamaged},
		"only the PNG magic":     {[]byte("\x89PNG\r\n\x1a\n"), picture.Limits{}, picture.ErrDamaged},
		"many bytes":             {good, picture.Limits{Bytes: len(good) - 1}, picture.ErrTooLarge},
		"many pixels":            {good, picture.Limits{Pixels: 255}, picture.ErrTooLarge},
		"50 megapixels":          {sof(3, 0x1B, 0x58, 0x1B, 0xEE), picture.Limits{}, picture.ErrTooLarge},
		"65535×65535":            {sof(3, 0xFF, 0xFF, 0xFF, 0xFF), picture.Limits{}, picture.ErrTooLarge},
		"no height":              {sof(3, 0, 0), picture.Limits{}, picture.ErrDamaged},
		"no width":               {sof(5, 0, 0), picture.Limits{}, picture.ErrDamaged},
		"12 bits":                {sof(2, 12), picture.Limits{}, picture.ErrFormat},
		"two components":         {sof(7, 2), picture.Limits{}, picture.ErrFormat},
		"lossless":               {sof(-1, 0xC3), picture.Limits{}, picture.ErrFormat},
		"arithmetic coding":      {sof(-1, 0xC9), picture.Limits{}, picture.ErrFormat},
		"two frames":             {doubled, picture.Limits{}, picture.ErrDamaged},
		"100 passes":             {scans, picture.Limits{}, picture.ErrTooLarge},
		"progressive, double":    {jpegFile{w: 16, h: 16, sampling: small.sampling, progressive: true, adobe: -1, at: slope}.encode(), picture.Limits{Pixels: 300}, picture.ErrTooLarge},
		"PNG of 50 megapixels":   {pngFile(10000, 5000, 8, 0, 0, nil), picture.Limits{}, picture.ErrTooLarge},
		"PNG of 2^31 squared":    {pngFile(1<<31-1, 1<<31-1, 8, 0, 0, nil), picture.Limits{}, picture.ErrDamaged},
		"PNG without pixels":     {pngFile(0, 0, 8, 0, 0, nil), picture.Limits{}, picture.ErrDamaged},
		"PNG with less data":     {pngFile(10, 10, 8, 0, 0, make([]byte, 50)), picture.Limits{}, picture.ErrDamaged},
		"PNG with more data":     {pngFile(10, 10, 8, 0, 0, make([]byte, 1<<20)), picture.Limits{}, picture.ErrDamaged},
		"PNG of 16 bits, double": {pngFile(10, 10, 16, 0, 0, make([]byte, 210)), picture.Limits{Pixels: 150}, picture.ErrTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := picture.Decode(tt.file, tt.lim)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
				t.Errorf("refusing it took %d bytes", n)
			}
		})
	}
}

// Every beginning of a file and many damaged ones give an image or one of the
// three errors, and libjpeg-turbo takes no cut file that the standard library
// would refuse.
func TestDamage(t *testing.T) {
	files := map[string][]byte{
		"baseline":    jpegFile{w: 40, h: 33, sampling: [][2]int{{2, 2}, {1, 1}, {1, 1}}, adobe: -1, at: slope}.encode(),
		"progressive": jpegFile{w: 40, h: 33, sampling: [][2]int{{2, 2}, {1, 1}, {1, 1}}, progressive: true, adobe: -1, at: slope}.encode(),
		"CMYK":        jpegFile{w: 16, h: 8, sampling: [][2]int{{1, 1}, {1, 1}, {1, 1}, {1, 1}}, adobe: 2, at: slope}.encode(),
		"PNG":         pngFile(9, 5, 8, 0, 1, adam7(9, 5, func(x, y int) byte { return byte(x * y) })),
	}
	for name, whole := range files {
		t.Run(name, func(t *testing.T) {
			for n := range whole {
				check(t, whole[:n])
				if turbo, standard, _, err := picture.DecodeBoth(whole[:n]); turbo != nil && standard == nil {
					t.Fatalf("cut after %d bytes: accepted, but the standard library says: %v", n, err)
				}
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 2000 {
				b := bytes.Clone(whole)
				for range 1 + r.IntN(3) {
					b[r.IntN(len(b))] = byte(r.Uint32())
				}
				check(t, b)
			}
		})
	}
}

// check decodes b, whatever it is.
func check(t *testing.T, b []byte) {
	t.Helper()
	p, err := picture.Decode(b, picture.Limits{Pixels: 1 << 20})
	if err != nil {
		if !errors.Is(err, picture.ErrFormat) && !errors.Is(err, picture.ErrTooLarge) && !errors.Is(err, picture.ErrDamaged) {
			t.Fatalf("unknown error: %v", err)
		}
		return
	}
	if s := p.Image.Bounds(); s.Empty() || s.Min != (image.Point{}) {
		t.Fatalf("bounds %v", s)
	}
}

func TestDecodeJPEG(t *testing.T) {
	f := jpegFile{w: 39, h: 33, sampling: [][2]int{{2, 1}, {1, 1}, {1, 1}}, adobe: -1, at: slope}
	whole := f.encode()
	first, err := picture.DecodeJPEG(append(whole, make([]byte, 100)...), nil, picture.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if first.SubsampleRatio != image.YCbCrSubsampleRatio422 || first.Rect != image.Rect(0, 0, 39, 33) {
		t.Fatalf("%v of %v", first.SubsampleRatio, first.Rect)
	}
	again, err := picture.DecodeJPEG(whole, first, picture.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if picture.Turbo() && again != first {
		t.Error("the memory of the first frame is not used again")
	}
	f.w, f.exif = 20, exif(binary.BigEndian, 6)
	other, err := picture.DecodeJPEG(f.encode(), first, picture.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if other == first || other.Rect != image.Rect(0, 0, 20, 33) {
		t.Errorf("a frame of another size came into %v", other.Rect)
	}
	grey, err := picture.DecodeJPEG(jpegFile{w: 9, h: 9, sampling: [][2]int{{1, 1}}, adobe: -1, at: slope}.encode(), nil, picture.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if r, g, b, _ := grey.At(4, 4).RGBA(); r != g || g != b {
		t.Errorf("a grey frame has colour: %d %d %d", r, g, b)
	}
	if _, err := picture.DecodeJPEG(whole[:len(whole)/2], nil, picture.Limits{}); !errors.Is(err, picture.ErrDamaged) {
		t.Errorf("half a frame: %v", err)
	}
	if _, err := picture.DecodeJPEG([]byte("\x89PNG"), nil, picture.Limits{}); !errors.Is(err, picture.ErrFormat) {
		t.Errorf("no JPEG: %v", err)
	}
}

// The decoder, which is C, writes into Go's memory: it must stay within the
// planes for every subsampling and odd size.
func TestDecodeJPEGStaysInItsPlanes(t *testing.T) {
	if !picture.Turbo() {
		t.Skip("libjpeg-turbo is not here")
	}
	const room, mark = 256, 0xA5
	guarded := func(n int) (whole, plane []byte) {
		whole = bytes.Repeat([]byte{mark}, n+2*room)
		return whole, whole[room:][:n:n]
	}
	for _, first := range [][2]int{{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}} {
		for _, size := range []image.Point{{1, 1}, {2, 3}, {15, 17}, {16, 16}, {31, 33}, {65, 7}} {
			f := jpegFile{w: size.X, h: size.Y, sampling: [][2]int{first, {1, 1}, {1, 1}}, adobe: -1, at: slope}
			b := f.encode()
			want, err := picture.DecodeJPEG(b, nil, picture.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			into := *want
			var wholes [3][]byte
			wholes[0], into.Y = guarded(len(want.Y))
			wholes[1], into.Cb = guarded(len(want.Cb))
			wholes[2], into.Cr = guarded(len(want.Cr))
			got, err := picture.DecodeJPEG(b, &into, picture.Limits{})
			if err != nil || got != &into {
				t.Fatalf("%v of %v: other memory was used, %v", first, size, err)
			}
			if !bytes.Equal(got.Y, want.Y) || !bytes.Equal(got.Cb, want.Cb) || !bytes.Equal(got.Cr, want.Cr) {
				t.Errorf("%v of %v: another picture the second time", first, size)
			}
			for i, w := range wholes {
				if edge := append(w[:room:room], w[len(w)-room:]...); bytes.Count(edge, []byte{mark}) != 2*room {
					t.Errorf("%v of %v: written outside plane %d", first, size, i)
				}
			}
		}
	}
}

func TestEncodeJPEG(t *testing.T) {
	m := image.NewYCbCr(image.Rect(0, 0, 32, 16), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = 90
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = 120, 140
	}
	b, err := picture.EncodeJPEG(m, 90)
	if err != nil {
		t.Fatal(err)
	}
	p, err := picture.Decode(b, picture.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	compareColor(t, p.Image, m, 10, 10, 4)
}

func FuzzDecode(f *testing.F) {
	for _, s := range [][][2]int{{{1, 1}}, {{2, 2}, {1, 1}, {1, 1}}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}}} {
		for _, progressive := range []bool{false, true} {
			f.Add(jpegFile{w: 12, h: 10, sampling: s, progressive: progressive, adobe: len(s) - 2, exif: exif(binary.LittleEndian, 5), at: slope}.encode())
		}
	}
	f.Add(pngFile(9, 5, 8, 0, 1, adam7(9, 5, func(x, y int) byte { return 1 })))
	f.Add(pngFile(4, 4, 16, 6, 0, make([]byte, 4*33)))
	f.Fuzz(func(t *testing.T, b []byte) { check(t, b) })
}
