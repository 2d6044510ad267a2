"""The same service as people write it in Python: Flask, Pydantic, scikit-learn, SQLite.

Served by gunicorn with two workers, it is what the server is compared with.
"""

import sqlite3
from datetime import datetime

import numpy
from flask import Flask, g, jsonify, request
from pydantic import BaseModel, Field, ValidationError
from sklearn.ensemble import IsolationForest

DATABASE = "flask_events.db"


class SensorEvent(BaseModel):
    station_id: str = Field(min_length=1, max_length=64)
    sequence: int = Field(ge=0)
    timestamp: datetime
    temperature_c: float = Field(ge=-273.15, le=2000)
    humidity_pct: float = Field(ge=0, le=100)
    sound_db: float = Field(ge=0, le=200)


generator = numpy.random.default_rng(42)
normal = generator.normal([70.0, 45.0, 66.0], [1.0, 3.0, 2.0], (10_000, 3))
model = IsolationForest(n_estimators=100, contamination=0.01, random_state=42).fit(normal)
app = Flask(__name__)

with sqlite3.connect(DATABASE) as setup:
    setup.execute("PRAGMA journal_mode = WAL")
    setup.execute(
        "CREATE TABLE IF NOT EXISTS predictions (station_id TEXT, sequence INTEGER, timestamp TEXT,"
        " features TEXT, anomaly_score REAL, is_anomaly INTEGER)"
    )


def database():
    if "database" not in g:
        g.database = sqlite3.connect(DATABASE, timeout=30)
        g.database.execute("PRAGMA synchronous = FULL")
    return g.database


@app.teardown_appcontext
def close(_error):
    if "database" in g:
        g.database.close()


@app.post("/predict")
def predict():
    try:
        event = SensorEvent.model_validate(request.get_json())
    except ValidationError as error:
        return jsonify(errors=error.errors()), 422
    values = [[event.temperature_c, event.humidity_pct, event.sound_db]]
    score = float(-model.score_samples(values)[0])
    is_anomaly = bool(model.predict(values)[0] == -1)
    with database() as connection:
        connection.execute(
            "INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)",
            (event.station_id, event.sequence, event.timestamp.isoformat(), str(values), score, is_anomaly),
        )
    return jsonify(station_id=event.station_id, anomaly_score=score, is_anomaly=is_anomaly)
