package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/picture"
)

func detectCommand() command {
	return command{
		name: "detect", args: "[flags] IMAGE",
		summary: "find the faces in an image, and what speaks against them",
		help: `Lists the faces of a JPEG or PNG, the dominant one first: box, score, pose,
quality and its reasons. --draw writes the image with boxes and points.
Exit status: 0 when there is a face, 1 when there is none, 2 on an error.

  cypherface detect group.jpg
  cypherface detect --draw out.png group.jpg
  cypherface detect --json face.png | jq '.faces[0].quality'
`,
		run: runDetect,
	}
}

// detection is the answer of detect.
type detection struct {
	Image  string      `json:"image"`
	Width  int         `json:"width"`
	Height int         `json:"height"`
	Pack   string      `json:"pack"`
	Faces  []faceEntry `json:"faces"`
}

// faceEntry is a face as detect prints it. Lengths are pixels, angles degrees,
// shares 0..1.
type faceEntry struct {
	Box         [4]float64      `json:"box"` // left, top, right, bottom
	Score       float64         `json:"score"`
	EyeDistance float64         `json:"eyeDistance"`
	Landmarks   [5]engine.Point `json:"landmarks"`
	Pose        engine.Pose     `json:"pose"`
	Quality     engine.Quality  `json:"quality"`
}

func runDetect(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := detectCommand().flags(t)
	packs := addPackFlags(fs)
	out := fs.String("draw", "", "write the image with boxes and points to this .png or .jpg")
	files, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		fs.Usage()
		return errUsage
	}
	img, err := readPicture(files[0])
	if err != nil {
		return err
	}
	e, pack, networks, err := packs.open(ctx, t, tflite.Options{})
	if err != nil {
		return err
	}
	defer networks.Close()
	faces, err := e.Detect(ctx, img)
	if err != nil {
		return err
	}
	if *out != "" {
		if err := drawFaces(*out, img, faces); err != nil {
			return err
		}
	}
	b := img.Bounds()
	d := detection{Image: files[0], Width: b.Dx(), Height: b.Dy(), Pack: pack.Name, Faces: []faceEntry{}}
	for _, f := range faces {
		d.Faces = append(d.Faces, faceEntry{[4]float64{f.Box.X0, f.Box.Y0, f.Box.X1, f.Box.Y1},
			f.Score, f.EyeDistance(), f.Landmarks, f.Pose, f.Quality})
	}
	if *asJSON {
		err = printJSON(t.out, d)
	} else {
		d.print(t)
	}
	if err == nil && len(faces) == 0 {
		return errNo
	}
	return err
}

func (d detection) print(t *terminal) {
	fmt.Fprintf(t.out, "%s: %d×%d, %d faces (pack %s)\n", d.Image, d.Width, d.Height, len(d.Faces), d.Pack)
	for i, f := range d.Faces {
		fmt.Fprintf(t.out, "%3d  box %.0f,%.0f–%.0f,%.0f  score %.2f  eyes %.0f px apart  roll %+.0f° yaw %+.0f° pitch %+.0f°\n",
			i+1, f.Box[0], f.Box[1], f.Box[2], f.Box[3], f.Score, f.EyeDistance, f.Pose.Roll, f.Pose.Yaw, f.Pose.Pitch)
		for _, r := range f.Quality.Reasons {
			fmt.Fprintf(t.out, "     %s: %s\n", r, r.Hint())
		}
	}
}

// drawFaces writes img with the faces drawn into it.
func drawFaces(path string, img image.Image, faces []engine.Face) error {
	encode := picture.EncodePNG
	switch strings.ToLower(filepath.Ext(path)) {
	case ".png":
	case ".jpg", ".jpeg":
		encode = func(m image.Image) ([]byte, error) { return picture.EncodeJPEG(m, 90) }
	default:
		return errors.New("--draw: want a file name that ends in .png or .jpg")
	}
	canvas := image.NewNRGBA(img.Bounds())
	draw.Draw(canvas, canvas.Rect, img, canvas.Rect.Min, draw.Src)
	for i, f := range faces {
		c := color.NRGBA{0x2e, 0xcc, 0x71, 0xff} // the dominant face: green
		if i > 0 {
			c = color.NRGBA{0xf1, 0xc4, 0x0f, 0xff}
		}
		pen := max(1, f.EyeDistance()/30)
		drawBox(canvas, f.Box, pen, c)
		for _, p := range f.Landmarks {
			drawDot(canvas, p, 1.5*pen, c)
		}
	}
	b, err := encode(canvas)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

func drawBox(m *image.NRGBA, b engine.Rect, pen float64, c color.NRGBA) {
	n := int(math.Round(pen))
	x0, y0, x1, y1 := int(b.X0), int(b.Y0), int(b.X1), int(b.Y1)
	for _, r := range []image.Rectangle{
		image.Rect(x0, y0, x1, y0+n), image.Rect(x0, y1-n, x1, y1),
		image.Rect(x0, y0, x0+n, y1), image.Rect(x1-n, y0, x1, y1),
	} {
		draw.Draw(m, r.Intersect(m.Rect), image.NewUniform(c), image.Point{}, draw.Src)
	}
}

func drawDot(m *image.NRGBA, p engine.Point, radius float64, c color.NRGBA) {
	for y := int(p.Y - radius); y <= int(p.Y+radius); y++ {
		for x := int(p.X - radius); x <= int(p.X+radius); x++ {
			if image.Pt(x, y).In(m.Rect) && math.Hypot(float64(x)+0.5-p.X, float64(y)+0.5-p.Y) <= radius {
				m.SetNRGBA(x, y, c)
			}
		}
	}
}
