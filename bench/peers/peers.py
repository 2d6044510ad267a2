"""The other implementations, each behind the same three functions.

A peer with `prepare` is handed what that makes of the rows, outside of the time that is taken.

A peer is fitted on a matrix of float64 with one thread, 100 trees (by default) and the
standard algorithm: axis-parallel cuts, uniform between the extremes, height limit log2 of the sample
size. `score` gives numbers that are higher for more anomalous rows, whatever the library's own sign.
"""

import os
import tempfile

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np


class ScikitLearn:
    name = "scikit-learn"
    package = "scikit-learn"

    def fit(self, x, sample_size, seed=0, n_trees=100):
        from sklearn.ensemble import IsolationForest

        self.model = IsolationForest(
            n_estimators=n_trees, max_samples=sample_size, random_state=seed, n_jobs=1
        ).fit(x)

    def score(self, x):
        return -self.model.score_samples(x)


class Coniferest:
    name = "coniferest"
    package = "coniferest"

    def fit(self, x, sample_size, seed=0, n_trees=100):
        from coniferest.isoforest import IsolationForest

        self.model = IsolationForest(
            n_trees=n_trees, n_subsamples=sample_size, random_seed=seed, n_jobs=1
        ).fit(x)

    def score(self, x):
        return -self.model.score_samples(x)


class Isotree:
    name = "isotree"
    package = "isotree"

    def fit(self, x, sample_size, seed=0, n_trees=100):
        from isotree import IsolationForest

        self.model = IsolationForest(
            ntrees=n_trees,
            sample_size=sample_size,
            ndim=1,
            max_depth=int(np.ceil(np.log2(sample_size))),
            missing_action="fail",
            # It seeds tree t with seed + t, so that neighbouring seeds share most trees.
            random_seed=1 + 1_000 * seed,
            nthreads=1,
        ).fit(x)

    def score(self, x):
        return self.model.predict(x)


class Ydf:
    name = "YDF"
    package = "ydf"

    @staticmethod
    def columns(x):
        return {f"x{i}": column.astype(np.float32) for i, column in enumerate(x.T)}

    def fit(self, x, sample_size, seed=0, n_trees=100):
        import ydf

        ydf.verbose(0)
        learner = ydf.IsolationForestLearner(
            num_trees=n_trees,
            subsample_count=sample_size,
            max_depth=-2,
            random_seed=seed,
            num_threads=1,
        )
        self.model = learner.train(self.columns(x))

    def prepare(self, x):
        return self.columns(x)

    def score(self, x):
        return self.model.predict(x, num_threads=1)


class OnnxRuntime:
    """Scores what scikit-learn fitted."""

    name = "onnxruntime"
    package = "onnxruntime"
    fits = False

    def fit(self, x, sample_size, seed=0, n_trees=100):
        import onnxruntime
        from skl2onnx import to_onnx

        fitted = ScikitLearn()
        fitted.fit(x, sample_size, seed, n_trees)
        onnx = to_onnx(
            fitted.model, x[:1].astype(np.float32), target_opset={"": 17, "ai.onnx.ml": 3}
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            onnx.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def prepare(self, x):
        return x.astype(np.float32)

    def score(self, x):
        return -self.session.run(["scores"], {self.session.get_inputs()[0].name: x})[0].ravel()


class Tl2cgen:
    """Scores what scikit-learn fitted, as C that gcc compiles."""

    name = "Treelite + tl2cgen"
    package = "tl2cgen"
    fits = False

    def fit(self, x, sample_size, seed=0, n_trees=100):
        import tl2cgen
        import treelite

        fitted = ScikitLearn()
        fitted.fit(x, sample_size, seed, n_trees)
        self.dir = tempfile.TemporaryDirectory()
        library = os.path.join(self.dir.name, "forest.so")
        tl2cgen.export_lib(
            treelite.sklearn.import_model(fitted.model),
            toolchain="gcc",
            libpath=library,
            params={"parallel_comp": 8},
            verbose=False,
        )
        self.predictor = tl2cgen.Predictor(library, nthread=1)

    def prepare(self, x):
        import tl2cgen

        return tl2cgen.DMatrix(x.astype(np.float32))

    def score(self, x):
        return self.predictor.predict(x).ravel()


PEERS = [Coniferest, Tl2cgen, ScikitLearn, Isotree, OnnxRuntime, Ydf]
