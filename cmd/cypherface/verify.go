package main

import (
	"context"
	"fmt"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
)

func verifyCommand() command {
	return command{
		name: "verify", args: "[flags] A.jpg B.jpg",
		summary: "do two images show the same person?",
		help: `Compares the dominant faces of two JPEG or PNG images. The policy is a false
match rate: --fmr 1e-4 says yes to one pair of different people in 10,000.
Exit status: 0 match, 1 no match, 2 error (no face in an image is an error).

  cypherface verify passport.jpg door.jpg
  cypherface verify --fmr 1e-3 --json a.png b.jpg
`,
		run: runVerify,
	}
}

// verdict is the answer of verify.
type verdict struct {
	Match      bool      `json:"match"`
	Similarity float64   `json:"similarity"` // 0..100, 80 = FMR 1e-4
	Threshold  float64   `json:"threshold"`  // on the same scale
	Score      float64   `json:"score"`      // cosine
	FMR        float64   `json:"fmr"`        // rate at which strangers reach the score
	Pack       string    `json:"pack"`
	Images     [2]string `json:"images"`
	Faces      [2]int    `json:"faces"`
	Notes      []string  `json:"notes,omitempty"`
}

func runVerify(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := verifyCommand().flags(t)
	packs := addPackFlags(fs)
	fmr := fs.Float64("fmr", 1e-4, "accepted false match rate")
	files, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	if len(files) != 2 {
		fs.Usage()
		return errUsage
	}
	e, pack, networks, err := packs.open(ctx, t, tflite.Options{})
	if err != nil {
		return err
	}
	defer networks.Close()
	limit, ok := pack.Calibration.Threshold(*fmr)
	if !ok {
		return fmt.Errorf("policy FMR %g: the calibration of pack %s supports %.2g and more (it was measured on %d impostor pairs)",
			*fmr, pack.Name, pack.Calibration.MinFMR(), pack.Calibration.ImpostorPairs)
	}
	v := verdict{Pack: pack.Name, Images: [2]string(files)}
	var templates [2]engine.Template
	for i, file := range files {
		if templates[i], v.Faces[i], err = v.template(ctx, e, file); err != nil {
			return err
		}
	}
	v.Score = engine.Compare(templates[0], templates[1])
	v.Match = v.Score >= limit
	v.Similarity, v.Threshold = pack.Calibration.Similarity(v.Score), pack.Calibration.Similarity(limit)
	v.FMR = pack.Calibration.FMR(v.Score)
	if *asJSON {
		err = printJSON(t.out, v)
	} else {
		v.print(t)
	}
	if err == nil && !v.Match {
		return errNo
	}
	return err
}

// template embeds the dominant face of a file and notes what is doubtful.
func (v *verdict) template(ctx context.Context, e *engine.Engine, file string) (engine.Template, int, error) {
	img, err := readPicture(file)
	if err != nil {
		return nil, 0, err
	}
	faces, err := e.Detect(ctx, img)
	if err != nil {
		return nil, 0, err
	}
	face, ambiguous, ok := engine.Dominant(faces)
	if !ok {
		return nil, 0, fmt.Errorf("%s: no face found (it must be at least about 60 pixels wide and turned to the camera)", file)
	}
	if ambiguous {
		return nil, len(faces), fmt.Errorf("%s: %d faces, and the second is nearly as large as the first: crop the image to the one that is meant", file, len(faces))
	}
	for _, r := range face.Quality.Reasons {
		v.Notes = append(v.Notes, fmt.Sprintf("%s: %s (%s)", file, r, r.Hint()))
	}
	template, err := e.Embed(ctx, img, face)
	return template, len(faces), err
}

func (v verdict) print(t *terminal) {
	answer := "no match"
	if v.Match {
		answer = "match"
	}
	fmt.Fprintf(t.out, "%s  similarity %.2f (needs %.2f), strangers reach this at a rate of %.2g; pack %s\n",
		answer, v.Similarity, v.Threshold, v.FMR, v.Pack)
	for _, n := range v.Notes {
		fmt.Fprintln(t.err, "note:", n)
	}
}
